/** What the controller keeps of every pod of the cluster: what policies are bound to, and which state of it that is. */

import { type Pod, readPod } from '../admission/pod.ts';
import type { Pod as KubernetesPod } from '../kubernetes/kinds.ts';
import { podAnnotations } from '../kubernetes/names.ts';

export interface KnownPod {
  /** `NAMESPACE/NAME`. */
  readonly key: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Milliseconds since 1970, by the API server's clock. */
  readonly createdAt: number;
  /** Its containers have ended for good: no policy has anything to decide about it. */
  readonly isFinished: boolean;
  /** Of its annotations only ours. */
  readonly pod: Pod;
}

/** Thousands of these are kept, so that nothing else of a pod is. */
export function knownPod(object: KubernetesPod): KnownPod {
  const {
    name = '',
    namespace = '',
    uid = '',
    resourceVersion = '',
    creationTimestamp = '',
  } = object.metadata;
  const phase = object.status?.phase;
  const { annotations, ...rest } = readPod(object);
  const own = podAnnotations.filter((key) => annotations?.[key] !== undefined);
  return {
    key: `${namespace}/${name}`,
    name,
    namespace,
    uid,
    resourceVersion,
    createdAt: Date.parse(creationTimestamp) || 0,
    isFinished: phase === 'Succeeded' || phase === 'Failed',
    pod: {
      ...rest,
      annotations:
        own.length === 0 ? undefined : Object.fromEntries(own.map((key) => [key, annotations?.[key]])),
    },
  };
}
