/**
 * Partial evaluation: answers the conditions about the workload, which cannot change while a container lives,
 * and leaves those about events. Admission and node both use it, so what admission writes is what the node
 * enforces. Three-valued: what is not known yet is `unknown`, and stays sound whatever it turns out to be.
 */

import type {
  CompiledPolicy,
  CompiledResponse,
  CompiledSection,
  SimpleCondition,
  WorkloadTest,
} from './compile.ts';
import { parseImage } from './image.ts';
import { labelsHold } from './labels.ts';
import { podNameHolds } from './podName.ts';
import { and, not, or } from './truth.ts';
import type { BoundPolicy, BoundSection, Truth, Workload } from './types.ts';

/** What admission knows of a pod: the facts of all its containers, and the image of each. */
export interface PodFacts extends Omit<Workload, 'image'> {
  /** As written in the pod, of every container: also init, ephemeral and sidecar ones. */
  readonly images: readonly string[];
}

/** IDs of policies, sorted. */
export interface PodBinding {
  /** Policies that surely apply to at least one container. */
  readonly applies: string[];
  /** Policies that may apply once more is known, as a rule the pod's name. */
  readonly undecided: string[];
}

/** `applies` is `yes` only if it stays so whatever the unknown facts become, and `no` likewise. */
export function bind(policy: CompiledPolicy, workload: Workload): BoundPolicy {
  const file = bindSection(policy.file, workload);
  const process = bindSection(policy.process, workload);
  const applies = or(sectionApplies(policy.file, file), sectionApplies(policy.process, process));
  return { id: policy.id, applies, file, process } as BoundPolicy;
}

/** As `applies` of `bind`, without what remains: no more conditions are looked at than the answer takes. */
export function appliesTo({ file, process }: CompiledPolicy, workload: Workload): Truth {
  const applies = sectionAppliesTo(file, workload);
  return applies === 'yes' ? applies : or(applies, sectionAppliesTo(process, workload));
}

/**
 * The reference for `bindPod` of the index: binds each policy to each container. An image that is no reference
 * counts as unknown: the kubelet would not start it, but only the kubelet can say so.
 */
export function scanPod(policies: readonly CompiledPolicy[], pod: PodFacts): PodBinding {
  const images = [...new Set(pod.images)].map(parseImage);
  const binding: PodBinding = { applies: [], undecided: [] };
  for (const policy of policies) {
    let applies: Truth = 'no';
    for (const image of images) {
      applies = or(applies, bind(policy, { ...pod, image }).applies);
      if (applies === 'yes') break;
    }
    if (applies === 'yes') binding.applies.push(policy.id);
    if (applies === 'unknown') binding.undecided.push(policy.id);
  }
  binding.applies.sort();
  binding.undecided.sort();
  return binding;
}

/** Whether one condition holds for the workload. */
export function testWorkload(test: WorkloadTest, workload: Workload): Truth {
  switch (test.condition) {
    case 'kubernetesPodName':
      return podNameHolds(test.patterns, workload.podName);
    case 'kubernetesPodLabel':
      return labelsHold(test.patterns, workload.podLabels);
    default:
      return isOneOf(test.values, factOf(test.condition, workload));
  }
}

/** What the workload has of that which the condition names. `null`: known to be absent; `undefined`: not known. */
export function factOf(condition: SimpleCondition, workload: Workload): string | null | undefined {
  const { image } = workload;
  switch (condition) {
    case 'containerImageFullName':
      return image ? image.fullName : image;
    case 'containerImageName':
      return image ? image.name : image;
    case 'containerImageTag':
      return image ? image.tag : image;
    case 'kubernetesClusterId':
      return workload.clusterId;
    case 'kubernetesClusterName':
      return workload.clusterName;
    case 'kubernetesNamespace':
      return workload.namespace;
  }
}

function isOneOf(values: ReadonlySet<string> | readonly string[], value: string | null | undefined): Truth {
  if (value === undefined) return 'unknown';
  if (value === null) return 'no';
  return ('has' in values ? values.has(value) : values.includes(value)) ? 'yes' : 'no';
}

function bindSection<S>(section: CompiledSection<S>, workload: Workload): BoundSection<S> {
  const selectors = section.selectors.map(({ selector, workload: tests }) => ({
    selector,
    workload: allHold(tests, workload),
  }));
  return { selectors, responses: section.responses };
}

function allHold(tests: readonly WorkloadTest[], workload: Workload): Truth {
  let holds: Truth = 'yes';
  for (const test of tests) {
    holds = and(holds, testWorkload(test, workload));
    if (holds === 'no') break;
  }
  return holds;
}

function sectionAppliesTo<S>({ selectors, responses }: CompiledSection<S>, workload: Workload): Truth {
  const known: Truth[] = [];
  const holds = (index: number): Truth => {
    known[index] ??= allHold(selectors[index]?.workload ?? [], workload);
    return known[index];
  };
  let applies: Truth = 'no';
  for (const response of responses) {
    applies = or(applies, responseHolds(response, holds));
    if (applies === 'yes') break;
  }
  return applies;
}

function sectionApplies<S>(section: CompiledSection<S>, bound: BoundSection<S>): Truth {
  let applies: Truth = 'no';
  for (const response of section.responses) applies = or(applies, responseApplies(response, bound));
  return applies;
}

/** Whether the response can fire: a match selector holds, and no exclude selector that covers it does. */
export function responseApplies<S>(response: CompiledResponse, bound: BoundSection<S>): Truth {
  return responseHolds(response, (index) => bound.selectors[index]?.workload ?? 'no');
}

function responseHolds({ match, coveredBy }: CompiledResponse, holds: (index: number) => Truth): Truth {
  let applies: Truth = 'no';
  for (const [position, selector] of match.entries()) {
    let live = holds(selector);
    for (const exclude of coveredBy[position] ?? []) {
      if (live === 'no') break;
      live = and(live, not(holds(exclude)));
    }
    applies = or(applies, live);
    if (applies === 'yes') break;
  }
  return applies;
}
