/** What the annotations of an existing pod should be: pure, so that two leaders come to the same. */

import { deriveAnnotations, type PolicyAnnotations } from '../admission/annotations.ts';
import { podNamesOf } from '../admission/pod.ts';
import { neverTouched, policiesKey, undecidedKey } from '../kubernetes/names.ts';
import type { NamespaceState } from '../kubernetes/namespaceModes.ts';
import type { Generation } from '../sources/directory.ts';
import type { KnownPod } from './knownPods.ts';

/** Where pods are. */
export interface Place {
  readonly clusterId: string | undefined;
  readonly clusterName: string | undefined;
  /** The namespace of d4c-gate itself. */
  readonly ownNamespace: string;
}

const none: PolicyAnnotations = { [policiesKey]: undefined, [undecidedKey]: undefined };

/**
 * `undefined`: the pod is left as it is. That holds for mirror pods, whose static pod takes no annotation; for pods that
 * are being deleted, since they are gone in a moment; for the namespaces on which the cluster and d4c-gate depend; for a
 * namespace of which nothing is known yet; and where a namespace has opted in for finished pods, since no policy has
 * anything to decide about them. Where it has not, annotations come off all others, finished ones as well.
 */
export function wantedAnnotations(
  { pod, namespace, isFinished }: KnownPod,
  state: NamespaceState | undefined,
  generation: Generation,
  { ownNamespace, clusterId, clusterName }: Place,
): PolicyAnnotations | undefined {
  if (pod.isMirror || pod.isTerminating || state === undefined) return undefined;
  if (neverTouched(ownNamespace).has(namespace)) return undefined;
  if (state.mode === undefined) return none;
  if (isFinished) return undefined;
  const [podName] = podNamesOf(pod);
  return deriveAnnotations(generation, { pod, podName, namespace, clusterId, clusterName });
}

/** Whether the pod has exactly these. Other than for admission, saying nothing is not the same as saying "none". */
export function hasAnnotations({ pod }: KnownPod, wanted: PolicyAnnotations): boolean {
  return [policiesKey, undecidedKey].every(
    (key) => pod.annotations?.[key] === wanted[key as keyof PolicyAnnotations],
  );
}

/**
 * Labels are watched, so the moment of opting in is known to the second; a pod of these first seconds may have been made
 * before the API server heard that it has to ask.
 */
const settleMs = 3_000;

/** Whether the pod was created after its namespace had opted in, and still nobody asked the webhook about it. */
export function wasMissed(known: KnownPod, state: NamespaceState | undefined): boolean {
  if (state?.mode === undefined || known.pod.annotations?.[policiesKey] !== undefined) return false;
  return known.createdAt > state.labelledAt + settleMs;
}
