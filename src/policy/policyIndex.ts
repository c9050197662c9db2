/**
 * The policies of a generation, ready to be bound to pods at a cost that does not grow with their number.
 *
 *   firingSelectors -> rarest condition of each -> candidate table          once per generation
 *   pod -> candidates -> appliesTo of each -> IDs                           for each pod
 *
 * A policy can apply only where one of its firing selectors can hold, and a selector only where any one of its
 * conditions can. So each is found by one condition, and then judged by all. `scanPod` is the oracle.
 *
 * An index is never changed. The next one shares its `base`, and holds what differs in a small layer of its own.
 */

import { appliesTo, type PodBinding, type PodFacts } from './bind.ts';
import { type Candidates, candidateTable } from './candidates.ts';
import type { CompiledPolicy, WorkloadTest } from './compile.ts';
import { parseImage } from './image.ts';
import { type ImageNames, imageNames } from './imageNames.ts';
import { firingSelectors, valueCounts } from './indexKeys.ts';
import { or } from './truth.ts';
import type { ImageReference, Truth, WorkloadCondition } from './types.ts';

export interface PolicyIndex {
  readonly base: Layer;
  /** Those of `base` that are no longer there. */
  readonly gone: ReadonlySet<CompiledPolicy>;
  /** Those that `base` lacks. */
  readonly added: Layer;
}

interface Layer {
  readonly policies: readonly CompiledPolicy[];
  readonly members: ReadonlySet<CompiledPolicy>;
  /** One table for each set of facts that a pod's author can leave open; see `tableFor`. */
  readonly tables: readonly Candidates[];
  readonly images: ImageNames;
}

/** Differences up to which the base is shared. Beyond, a new one pays. */
const maxDifferences = 256;
const policiesPerStep = 32;

const imageConditions = ['containerImageFullName', 'containerImageName', 'containerImageTag'] as const;
/** What is left out of the keys of each table. Whoever makes pods can make an image or a name that is unknown. */
const leftOut: readonly ReadonlySet<WorkloadCondition>[] = [
  new Set(),
  new Set(imageConditions),
  new Set(['kubernetesPodName']),
  new Set([...imageConditions, 'kubernetesPodName']),
];

/** The index of these policies, each of which comes once. @param previous an index that differs little, if there is one */
export function indexPolicies(policies: readonly CompiledPolicy[], previous?: PolicyIndex): PolicyIndex {
  const steps = indexInSteps(policies, previous);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** As `indexPolicies`, with a stop about every tenth of a millisecond; ten thousand policies take about 200 of these. */
export function* indexInSteps(
  policies: readonly CompiledPolicy[],
  previous?: PolicyIndex,
): Generator<undefined, PolicyIndex, undefined> {
  const members = new Set(policies);
  if (previous !== undefined) {
    const { base } = previous;
    yield;
    const added = policies.filter((policy) => !base.members.has(policy));
    yield;
    const gone = base.policies.filter((policy) => !members.has(policy));
    if (added.length + gone.length <= maxDifferences) {
      return { base, gone: new Set(gone), added: yield* layerOf(added, new Set(added)) };
    }
    yield;
  }
  return { base: yield* layerOf(policies, members), gone: new Set(), added: yield* layerOf([], new Set()) };
}

function* layerOf(
  policies: readonly CompiledPolicy[],
  members: ReadonlySet<CompiledPolicy>,
): Generator<undefined, Layer, undefined> {
  const counts = valueCounts();
  const images = imageNames();
  const firing: (readonly ReturnType<typeof firingSelectors>[number][])[] = [];
  for (const [slot, policy] of policies.entries()) {
    const selectors = firingSelectors(policy);
    firing.push(selectors);
    selectors.forEach(counts.count);
    images.add(policy);
    if (slot % policiesPerStep === 0) yield;
  }
  const tables: { keys: readonly Key[]; table: Candidates }[] = [];
  for (const conditions of leftOut) {
    const keys: Key[] = [];
    for (const [slot, selectors] of firing.entries()) {
      for (const tests of selectors) keys.push({ slot, test: counts.rarest(tests, conditions) });
      if (slot % policiesPerStep === 0) yield;
    }
    // Where no policy is found by an image or a name, one table serves for all.
    const same = tables.find((other) => areSame(other.keys, keys));
    tables.push({ keys, table: same?.table ?? (yield* tableOf(keys)) });
    yield;
  }
  return { policies, members, tables: tables.map(({ table }) => table), images };
}

/** By which condition a selector of the policy in this slot is found; without one it is found for every workload. */
interface Key {
  readonly slot: number;
  readonly test: WorkloadTest | undefined;
}

function areSame(some: readonly Key[], others: readonly Key[]): boolean {
  return some.every(({ test }, index) => test === others[index]?.test);
}

function* tableOf(keys: readonly Key[]): Generator<undefined, Candidates, undefined> {
  const table = candidateTable();
  for (const [index, { slot, test }] of keys.entries()) {
    table.add(slot, test);
    if (index % policiesPerStep === 0) yield;
  }
  table.seal();
  return table;
}

/**
 * Which policies apply to the pod: those that apply to one of its containers. An image that is no reference
 * counts as unknown: the kubelet would not start it, but only the kubelet can say so.
 */
export function bindPod({ base, gone, added }: PolicyIndex, pod: PodFacts): PodBinding {
  const binding: PodBinding = { applies: [], undecided: [] };
  const images = [...new Set(pod.images)].map(parseImage);
  bindLayer(base, gone, pod, images, binding);
  bindLayer(added, undefined, pod, images, binding);
  binding.applies.sort();
  binding.undecided.sort();
  return binding;
}

function bindLayer(
  layer: Layer,
  gone: ReadonlySet<CompiledPolicy> | undefined,
  pod: PodFacts,
  images: readonly (ImageReference | undefined)[],
  binding: PodBinding,
): void {
  if (layer.policies.length === 0) return;
  const truths = new Map<number, Truth>();
  for (const image of layer.images.distinct(images)) {
    const workload = { ...pod, image };
    const candidates = new Set<number>();
    tableFor(layer, workload)?.collect(workload, candidates);
    for (const slot of candidates) {
      const before = truths.get(slot) ?? 'no';
      const policy = layer.policies[slot];
      if (before === 'yes' || policy === undefined || gone?.has(policy)) continue;
      truths.set(slot, or(before, appliesTo(policy, workload)));
    }
  }
  for (const [slot, applies] of truths) {
    const { id = '' } = layer.policies[slot] ?? {};
    if (applies === 'yes') binding.applies.push(id);
    if (applies === 'unknown') binding.undecided.push(id);
  }
}

/** The table whose keys are known of the workload, so that not every policy with such a condition is a candidate. */
function tableFor(
  { tables }: Layer,
  { image, podName }: { readonly image: unknown; readonly podName: unknown },
): Candidates | undefined {
  return tables[(image === undefined ? 1 : 0) + (podName === undefined ? 2 : 0)];
}
