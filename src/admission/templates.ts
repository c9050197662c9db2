/** The pods that a workload will make, as far as its template and the names that controllers give tell. */

import { GateError } from '../errors.ts';
import { laterLabelsOf, podNameOfController } from '../policy/controllerPods.ts';
import type { PodName } from '../policy/types.ts';
import { type Pod, readPod } from './pod.ts';
import { isJsonObject, type JsonObject } from './review.ts';

/** The kind of the object of each resource that makes pods. */
const kindOf = new Map([
  ['deployments.apps', 'Deployment'],
  ['statefulsets.apps', 'StatefulSet'],
  ['daemonsets.apps', 'DaemonSet'],
  ['replicasets.apps', 'ReplicaSet'],
  ['jobs.batch', 'Job'],
  ['cronjobs.batch', 'CronJob'],
]);

export interface Template {
  readonly kind: string;
  readonly pod: Pod;
  readonly podName: PodName | undefined;
  /** Keys of labels that the pods will have besides, with values that are not known. */
  readonly laterLabels: readonly string[];
  /** Made by another controller, about whose object has been said what there is to say. */
  readonly isOwned: boolean;
  /** What decides about policies, as one text: equal texts are equal templates. */
  readonly key: string;
}

/** `undefined` when the resource makes no pods. @throws REVIEW_OBJECT */
export function readTemplate(resource: string, name: string, object: unknown): Template | undefined {
  const kind = kindOf.get(resource);
  if (kind === undefined) return undefined;
  const workload = objectOf(object, 'the object');
  const metadata = objectOf(workload.metadata, '`metadata`');
  const { ownerReferences } = metadata;
  const job =
    kind === 'CronJob'
      ? objectOf(objectOf(workload.spec, '`spec`').jobTemplate, '`spec.jobTemplate`')
      : workload;
  const spec = objectOf(job.spec, '`spec`');
  const template = objectOf(spec.template, 'the template');
  const pod = readPod({ ...template, metadata: template.metadata ?? {} });
  return {
    kind,
    pod,
    podName: name === '' ? undefined : podNameOfController(kind, name, spec.completionMode === 'Indexed'),
    laterLabels: laterLabelsOf(kind),
    isOwned: Array.isArray(ownerReferences) && ownerReferences.some((owner) => owner?.controller === true),
    key: JSON.stringify([[...pod.labels].sort(), [...new Set(pod.images)].sort()]),
  };
}

function objectOf(value: unknown, what: string): JsonObject {
  if (isJsonObject(value)) return value;
  throw new GateError('REVIEW_OBJECT', `${what} of the workload is not an object`);
}
