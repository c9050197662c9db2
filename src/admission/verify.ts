/**
 * The validating decision: derives the annotations anew on the final object and refuses what differs.
 *
 * It holds a request to what that request changes. An UPDATE that leaves the annotations alone is never
 * refused, however old they are: kubelet, controllers and finalizers go on after the policies have changed.
 */

import { reportFailure } from '../failures.ts';
import { podAnnotations, policiesKey, undecidedKey } from '../kubernetes/names.ts';
import {
  annotationsOf,
  areEqual,
  auditOf,
  type Cluster,
  deriveAnnotations,
  type PolicyAnnotations,
  type Subject,
} from './annotations.ts';
import type { Generations } from './generations.ts';
import { leavesAnnotations } from './mutate.ts';
import type { JustOptedIn } from './optIns.ts';
import { podNamesOf, readPod } from './pod.ts';
import { isWrite, type Review, type ReviewAnswer } from './review.ts';
import { shortened } from './warnings.ts';

const verified = new Set(['pods', 'pods/ephemeralcontainers', 'pods/resize']);

/** @throws REVIEW_OBJECT */
export async function verify(
  review: Review,
  generations: Generations,
  cluster: Cluster,
  justOptedIn: JustOptedIn = () => false,
): Promise<ReviewAnswer> {
  if (!verified.has(review.resource) || !isWrite(review)) return { allowed: true };
  const pod = readPod(review.object);
  const found = annotationsOf(pod);
  const audit = auditOf(found);
  if (pod.isMirror) return { allowed: true, audit: { ...audit, skipped: 'mirror pod' } };
  if (leavesAnnotations(review)) return { allowed: true, audit };

  const { namespace } = review;
  const podNames = podNamesOf(pod);
  const subjects = podNames.map((podName): Subject => ({ ...cluster, pod, podName, namespace }));
  if (isHonest(found, subjects, generations)) return { allowed: true, audit };
  if (isUnannotated(found) && justOptedIn(namespace)) {
    reportFailure('annotation_behind', { namespace });
    return { allowed: true, audit };
  }
  // Another replica may have taken a change of the policies that was not seen here yet.
  await generations.refresh();
  if (isHonest(found, subjects, generations)) return { allowed: true, audit };
  // Whoever wrote it may go by a generation that was replaced before this replica was there.
  if (generations.isNewcomer() && isWellFormed(found)) {
    reportFailure('annotation_behind', { namespace, replica: 'new' });
    return { allowed: true, audit };
  }
  const subject = { ...cluster, pod, podName: podNames[0], namespace };
  return {
    allowed: false,
    message: refusalOf(found, deriveAnnotations(generations.current(), subject)),
    audit,
  };
}

/** Whether any honest generation gives what was found, under any name that the pod had when it was annotated. */
function isHonest(found: PolicyAnnotations, subjects: readonly Subject[], generations: Generations): boolean {
  for (const generation of generations.honest()) {
    if (!subjects.some((subject) => areEqual(found, deriveAnnotations(generation, subject)))) continue;
    if (generation !== generations.current())
      reportFailure('annotation_behind', { generation: generation.number });
    return true;
  }
  return false;
}

function isUnannotated(found: PolicyAnnotations): boolean {
  return podAnnotations.every((key) => found[key] === undefined);
}

/** Whether d4c-gate may have written this: lists of different IDs, sorted, each in its place. */
function isWellFormed(found: PolicyAnnotations): boolean {
  const areIds = (list: string): boolean => {
    const ids = list.split(',');
    return ids.every((id, index) => id !== '' && (index === 0 || id > (ids[index - 1] ?? '')));
  };
  const { [policiesKey]: policies, [undecidedKey]: undecided } = found;
  return (
    policies !== undefined &&
    (policies === '' || areIds(policies)) &&
    (undecided === undefined || areIds(undecided))
  );
}

function refusalOf(found: PolicyAnnotations, expected: PolicyAnnotations): string {
  const differences = podAnnotations
    .filter((key) => found[key] !== expected[key])
    .map(
      (key) => `annotation \`${key}\` is ${show(found[key])}, but the policies give ${show(expected[key])}`,
    );
  return (
    `${differences.join('; ')}; leave both annotations out of the request, d4c-gate writes them itself; ` +
    'if you did, its mutating webhook was not called: ask the administrator of the cluster'
  );
}

function show(value: string | undefined): string {
  return value === undefined ? 'absent' : `\`${shortened(value)}\``;
}
