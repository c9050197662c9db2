/** The mutating decision: writes what the policies give on the pod, over whatever stands there. */

import { annotationsOf, areEqual, auditOf, type Cluster, deriveAnnotations } from './annotations.ts';
import type { Generations } from './generations.ts';
import { patchAnnotations } from './patch.ts';
import { podNamesOf, readPod } from './pod.ts';
import { isWrite, type Review, type ReviewAnswer } from './review.ts';

/** Always allows; a patch comes only when something is to change. @throws REVIEW_OBJECT */
export function mutate(review: Review, generations: Generations, cluster: Cluster): ReviewAnswer {
  // The API server drops changes of metadata from requests to subresources.
  if (review.resource !== 'pods' || !isWrite(review)) return { allowed: true };
  const pod = readPod(review.object);
  if (pod.isMirror) return { allowed: true, audit: { skipped: 'mirror pod' } };
  // The last finalizer must come off even when the validating call meets a replica with other policies.
  if (pod.isTerminating && leavesAnnotations(review)) return { allowed: true };
  const [podName] = podNamesOf(pod);
  const { namespace } = review;
  const wanted = deriveAnnotations(generations.current(), { ...cluster, pod, podName, namespace });
  return {
    allowed: true,
    patch: patchAnnotations(pod.annotations, wanted),
    audit: auditOf(wanted),
  };
}

/** Whether this is an UPDATE that leaves both annotations as they were. @throws REVIEW_OBJECT */
export function leavesAnnotations(review: Review): boolean {
  if (review.operation !== 'UPDATE') return false;
  return areEqual(annotationsOf(readPod(review.object)), annotationsOf(readPod(review.oldObject)));
}
