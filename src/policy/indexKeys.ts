/**
 * Chooses by which of its conditions a selector is indexed: the one by which a pod finds the fewest others. So ten
 * thousand policies of one namespace that differ in their images are found by image.
 */

import type { CompiledPolicy, CompiledSection, WorkloadTest } from './compile.ts';
import { stemsOf } from './podName.ts';
import type { WorkloadCondition } from './types.ts';

type Tests = readonly WorkloadTest[];

/** How many selectors ask for each value of each condition. */
export interface ValueCounts {
  count(tests: Tests): void;
  /** `undefined` when the selector has no other condition than those left out. */
  rarest(tests: Tests, leftOut: ReadonlySet<WorkloadCondition>): WorkloadTest | undefined;
}

/** The pods of a cluster all have the same, so nothing is told apart by these. */
const ofCluster: ReadonlySet<WorkloadCondition> = new Set(['kubernetesClusterId', 'kubernetesClusterName']);

/** The conditions of every selector that can make a response fire. */
export function firingSelectors({ file, process }: CompiledPolicy): Tests[] {
  return [...firingIn(file), ...firingIn(process)];
}

function firingIn<S>({ selectors, responses }: CompiledSection<S>): Tests[] {
  const testsAt = (index: number): Tests => selectors[index]?.workload ?? [];
  const firing = new Set<number>();
  for (const { match, coveredBy } of responses) {
    match.forEach((selector, position) => {
      // An exclude that holds everywhere leaves nothing of what it covers.
      const isDead = coveredBy[position]?.some((exclude) => testsAt(exclude).length === 0);
      if (!isDead) firing.add(selector);
    });
  }
  return [...firing].map(testsAt);
}

export function valueCounts(): ValueCounts {
  const counts = new Map<WorkloadCondition, Map<string, number>>();

  function commonest(test: WorkloadTest): number {
    const ofCondition = counts.get(test.condition);
    let most = 0;
    for (const value of valuesOf(test)) most = Math.max(most, ofCondition?.get(value) ?? 0);
    return most;
  }

  return {
    count(tests) {
      for (const test of tests) {
        const ofCondition = counts.get(test.condition) ?? new Map<string, number>();
        counts.set(test.condition, ofCondition);
        for (const value of valuesOf(test)) ofCondition.set(value, (ofCondition.get(value) ?? 0) + 1);
      }
    },
    rarest(tests, leftOut) {
      let [rarest, least]: [WorkloadTest | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
      for (const test of tests) {
        if (leftOut.has(test.condition)) continue;
        const count = ofCluster.has(test.condition) ? Number.MAX_SAFE_INTEGER : commonest(test);
        if (count < least) [rarest, least] = [test, count];
      }
      return rarest;
    },
  };
}

/** What a pod may have in common with other selectors' values: of pod names also what they may be made from. */
function valuesOf(test: WorkloadTest): readonly string[] {
  switch (test.condition) {
    case 'kubernetesPodName':
      return [
        ...new Set(
          test.patterns.flatMap((pattern) => [
            pattern.prefix ? `${pattern.text}*` : pattern.text,
            ...stemsOf(pattern),
          ]),
        ),
      ];
    case 'kubernetesPodLabel':
      return test.patterns.map(({ key, value, prefix }) => `${key}:${value}${prefix ? '*' : ''}`);
    default:
      return [...test.values];
  }
}
