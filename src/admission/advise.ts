/** Tells whoever writes a workload which policies its pods will have. Only warnings; quiet where nothing new is to be said. */

import type { PodBinding } from '../policy/bind.ts';
import type { Generation } from '../sources/directory.ts';
import { bindSubject, type Cluster } from './annotations.ts';
import type { Generations } from './generations.ts';
import type { Live } from './live.ts';
import { isWrite, type Review, type ReviewAnswer } from './review.ts';
import { readTemplate, type Template } from './templates.ts';
import { boundedWarnings, listed, shortened } from './warnings.ts';

export interface AdvicePlace {
  readonly generations: Generations;
  readonly cluster: Cluster;
  readonly live?: Live;
}

/** Always allows. @throws REVIEW_OBJECT */
export function advise(review: Review, { generations, cluster, live }: AdvicePlace): ReviewAnswer {
  const { resource, namespace, name, operation } = review;
  const generation = generations.current();
  if (!isWrite(review) || generation.number === 0) return { allowed: true };
  const template = readTemplate(resource, name, review.object);
  if (template === undefined || template.isOwned) return { allowed: true };
  const { kind, key } = template;
  // Scaling, a status or an annotation changes nothing about policies.
  if (operation === 'UPDATE' && readTemplate(resource, name, review.oldObject)?.key === key) {
    return { allowed: true };
  }
  const { applies, undecided } = bindTemplate(generation, template, namespace, cluster);
  const pods = `pods of this ${kind}`;
  const mode = live?.modeOf(namespace);
  const lines: string[] = [];
  if (applies.length > 0) {
    const ending = mode === 'observe' ? ', which only report: the namespace is in mode observe' : '';
    lines.push(`d4c-gate: policies that will apply to the ${pods}: ${listed(applies)}${ending}`);
  }
  if (undecided.length > 0) {
    lines.push(
      `d4c-gate: policies that may apply to the ${pods}, depending on ${reasonOf(cluster)}: ${listed(undecided)}`,
    );
  }
  if (lines.length === 0) lines.push(`d4c-gate: no policy will apply to the ${pods}`);
  const audit = {
    policies: shortened(applies.join(',')),
    ...(undecided.length > 0 && { undecided: shortened(undecided.join(',')) }),
  };
  return { allowed: true, warnings: boundedWarnings(lines), audit };
}

/** As the pods will be bound, of which some labels are not known yet. */
function bindTemplate(
  generation: Generation,
  { pod, podName, laterLabels }: Template,
  namespace: string,
  cluster: Cluster,
): PodBinding {
  const labels = new Map<string, string | undefined>(pod.labels);
  for (const key of laterLabels) labels.set(key, undefined);
  return bindSubject(generation, { ...cluster, pod: { ...pod, labels }, podName, namespace });
}

/** What is not known before a pod is there. */
function reasonOf({ clusterId, clusterName }: Cluster): string {
  const missing = [
    "the pod's name or labels",
    ...(clusterId === undefined ? ["the cluster's ID"] : []),
    ...(clusterName === undefined ? ["the cluster's name"] : []),
  ];
  return missing.join(' or ');
}
