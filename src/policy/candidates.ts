/**
 * Finds, among many selectors, those of which one chosen condition may hold for a workload. A selector is known here
 * by the slot of its policy. What is found is more than what binds: the other conditions are not looked at.
 */

import { factOf } from './bind.ts';
import type { SimpleCondition, WorkloadTest } from './compile.ts';
import { type PodNameTable, podNameTable } from './podNameTable.ts';
import { type PrefixTable, prefixTable } from './prefixTable.ts';
import { append, appendAt, type Slots } from './slots.ts';
import type { Workload } from './types.ts';

/** The selectors added, by their conditions. */
export interface Candidates {
  /** Adds a selector by one of its conditions; without one it is found for every workload. Slots come in ascending order. */
  add(slot: number, test: WorkloadTest | undefined): void;
  /** To be called once, after the last `add` and before the first `collect`. */
  seal(): void;
  /** Adds the slots whose condition holds or is unknown. */
  collect(workload: Workload, into: Set<number>): void;
}

/** `all`: of every value, for when the fact is not known. */
interface ValueTable {
  readonly all: Slots;
  readonly byValue: Map<string, Slots>;
}

interface LabelValues {
  readonly byValue: Map<string, Slots>;
  readonly byPrefix: Map<string, Slots>;
  prefixes: PrefixTable<Slots> | undefined;
}

export function candidateTable(): Candidates {
  const unconditional: Slots = [];
  const simple = new Map<SimpleCondition, ValueTable>();
  const names: PodNameTable = podNameTable();
  const labels = new Map<string, LabelValues>();
  const anyLabel: Slots = [];

  function addTest(slot: number, test: WorkloadTest): void {
    switch (test.condition) {
      case 'kubernetesPodName':
        for (const pattern of test.patterns) names.add(slot, pattern);
        return;
      case 'kubernetesPodLabel':
        append(anyLabel, slot);
        for (const { key, value, prefix } of test.patterns) {
          const values = labels.get(key) ?? labelValues();
          labels.set(key, values);
          appendAt(prefix ? values.byPrefix : values.byValue, value, slot);
        }
        return;
      default: {
        const { all, byValue } = simple.get(test.condition) ?? { all: [], byValue: new Map() };
        simple.set(test.condition, { all, byValue });
        append(all, slot);
        for (const value of test.values) appendAt(byValue, value, slot);
      }
    }
  }

  function collectLabels(podLabels: Workload['podLabels'], take: (slots: Slots | undefined) => void): void {
    if (podLabels === undefined) take(anyLabel);
    for (const [key, value] of podLabels ?? []) {
      const values = labels.get(key);
      if (values === undefined) continue;
      if (value === undefined) {
        for (const slots of [...values.byValue.values(), ...values.byPrefix.values()]) take(slots);
        continue;
      }
      take(values.byValue.get(value));
      values.prefixes?.visit(value, take);
    }
  }

  return {
    add(slot, test) {
      if (test === undefined) append(unconditional, slot);
      else addTest(slot, test);
    },
    seal() {
      names.seal();
      for (const values of labels.values()) {
        if (values.byPrefix.size > 0) values.prefixes = prefixTable(values.byPrefix);
      }
    },
    collect(workload, into) {
      const take = (slots: Slots | undefined): void => {
        if (slots !== undefined) for (const slot of slots) into.add(slot);
      };
      take(unconditional);
      for (const [condition, { all, byValue }] of simple) {
        const fact = factOf(condition, workload);
        if (fact === undefined) take(all);
        else if (fact !== null) take(byValue.get(fact));
      }
      // INVARIANT: while the name is not known, no selector is found by it (`leftOut` in policyIndex.ts).
      names.collect(workload.podName ?? null, take);
      collectLabels(workload.podLabels, take);
    },
  };
}

function labelValues(): LabelValues {
  return { byValue: new Map(), byPrefix: new Map(), prefixes: undefined };
}
