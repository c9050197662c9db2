/** The two annotations that d4c-gate keeps on pods: what the policies give, and what a pod has. */

import { policiesKey, undecidedKey } from '../kubernetes/names.ts';
import type { PodBinding } from '../policy/bind.ts';
import { bindPod } from '../policy/policyIndex.ts';
import type { PodName } from '../policy/types.ts';
import type { Generation } from '../sources/directory.ts';
import type { Pod } from './pod.ts';
import { shortened } from './warnings.ts';

/** The values of both annotations; `undefined` is absent. */
export interface PolicyAnnotations {
  /** Sorted IDs with commas between; '' when no policy applies. */
  readonly [policiesKey]: string | undefined;
  /** As above; absent when nothing is undecided. */
  readonly [undecidedKey]: string | undefined;
}

/** The cluster that is served. What is not configured is unknown, which is not the same as different. */
export interface Cluster {
  readonly clusterId: string | undefined;
  readonly clusterName: string | undefined;
}

/** What is bound to policies: a pod, under one of its names (`undefined`: nothing is known of it), in its place. */
export interface Subject extends Cluster {
  /** A label may have a value that is not known yet. */
  readonly pod: Pick<Pod, 'images'> & { readonly labels: ReadonlyMap<string, string | undefined> };
  readonly podName: PodName | undefined;
  readonly namespace: string;
}

/** Which policies of a generation apply to the pod, and which may. */
export function bindSubject(generation: Generation, subject: Subject): PodBinding {
  const { pod, podName, namespace, clusterId, clusterName } = subject;
  const { labels: podLabels, images } = pod;
  const facts = { images, podLabels, podName, namespace, clusterId, clusterName };
  return bindPod(generation.index, facts);
}

/** What the policies of a generation give. */
export function deriveAnnotations(generation: Generation, subject: Subject): PolicyAnnotations {
  const binding = bindSubject(generation, subject);
  return {
    [policiesKey]: binding.applies.join(','),
    [undecidedKey]: binding.undecided.length === 0 ? undefined : binding.undecided.join(','),
  };
}

/** What the pod has. A value that is not a string counts as one that no policy gives. */
export function annotationsOf(pod: Pod): PolicyAnnotations {
  const at = (key: string): string | undefined => {
    const value = pod.annotations?.[key] ?? undefined;
    return value === undefined || typeof value === 'string' ? value : '(not a string)';
  };
  return { [policiesKey]: at(policiesKey), [undecidedKey]: at(undecidedKey) };
}

/** Whether the pod claims what the policies give. Saying nothing is right when nothing applies. */
export function areEqual(found: PolicyAnnotations, expected: PolicyAnnotations): boolean {
  return (
    (found[policiesKey] ?? '') === (expected[policiesKey] ?? '') &&
    found[undecidedKey] === expected[undecidedKey]
  );
}

/** For the audit log. */
export function auditOf(annotations: PolicyAnnotations): Readonly<Record<string, string>> {
  const undecided = annotations[undecidedKey];
  const policies = shortened(annotations[policiesKey] ?? '');
  return undecided === undefined ? { policies } : { policies, undecided: shortened(undecided) };
}
