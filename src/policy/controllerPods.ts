/**
 * What is known of the names and labels of a controller's pods before it makes them (k8s.io/kubernetes/pkg/controller of
 * 1.34; the forms are older than admission webhooks).
 */

import { suffixAlphabet } from './podName.ts';
import type { PodName } from './types.ts';

const digits = '0123456789';
/** What is cut to make room for five characters, and for the index of an indexed Job. */
const keptOfName = 58;
const keptOfIndexed = 46;

/** Labels that a controller puts on its pods and whose values only it knows. */
const laterLabels: ReadonlyMap<string, readonly string[]> = new Map([
  ['Deployment', ['pod-template-hash']],
  [
    'StatefulSet',
    ['apps.kubernetes.io/pod-index', 'controller-revision-hash', 'statefulset.kubernetes.io/pod-name'],
  ],
  ['DaemonSet', ['controller-revision-hash', 'pod-template-generation']],
  // The template of a Job that the API server has taken has its labels already, but for the index.
  ['Job', ['batch.kubernetes.io/job-completion-index']],
  [
    'CronJob',
    [
      'batch.kubernetes.io/controller-uid',
      'batch.kubernetes.io/job-completion-index',
      'batch.kubernetes.io/job-name',
      'controller-uid',
      'job-name',
    ],
  ],
]);

/** Keys of labels that the pods of such a controller have besides those of its template, with values that only it knows. */
export function laterLabelsOf(kind: string): readonly string[] {
  return laterLabels.get(kind) ?? [];
}

/**
 * The name of a pod of the controller `name`, as far as its kind tells.
 *
 * @param kind `Deployment`, `CronJob`, ...; of others nothing is known
 * @param isIndexed whether the Job counts its pods (`completionMode: Indexed`)
 */
export function podNameOfController(kind: string, name: string, isIndexed = false): PodName | undefined {
  const begin = `${name}-`;
  switch (kind) {
    case 'DaemonSet':
    case 'ReplicaSet':
    case 'ReplicationController':
      return { generateName: begin };
    case 'Job':
      if (!isIndexed) return { generateName: begin };
      return { begin: begin.slice(0, keptOfIndexed), restOf: restOf(begin, keptOfIndexed, digits) };
    case 'CronJob':
      // The Job's name ends in the minute it is for, its pods' in five characters, after an index where there is one.
      return { begin: begin.slice(0, keptOfIndexed), restOf: restOf(begin, keptOfIndexed, digits) };
    case 'Deployment':
      // A hash of the template, made of the same characters, and the five characters.
      return { begin: begin.slice(0, keptOfName), restOf: restOf(begin, keptOfName, '') };
    case 'StatefulSet':
      return { begin, restOf: digits };
    default:
      return undefined;
  }
}

/** What is beyond the cut may be of the name or not. */
function restOf(begin: string, kept: number, more: string): string {
  return `${suffixAlphabet}-${more}${begin.slice(kept)}`;
}
