/** Finds the patterns of `kubernetesPodName` that a name fits, or may fit once the API server has made it. */

import { baseOf, type NamePattern, stemsOf } from './podName.ts';
import { type PrefixTable, prefixTable } from './prefixTable.ts';
import { appendAt, type Slots } from './slots.ts';
import type { PodName } from './types.ts';

export interface PodNameTable {
  add(slot: number, pattern: NamePattern): void;
  /** To be called once, after the last `add`. */
  seal(): void;
  /** Gives the slots of all patterns for which `podNameHolds` is not `no`; some may come twice. */
  collect(podName: PodName | null, take: (slots: Slots | undefined) => void): void;
}

export function podNameTable(): PodNameTable {
  const byName = new Map<string, Slots>();
  const byPrefix = new Map<string, Slots>();
  const byStem = new Map<string, Slots>();
  let prefixes: PrefixTable<Slots> | undefined;
  let names: PrefixTable<Slots> | undefined;
  return {
    add(slot, pattern) {
      appendAt(pattern.prefix ? byPrefix : byName, pattern.text, slot);
      for (const stem of stemsOf(pattern)) appendAt(byStem, stem, slot);
    },
    seal() {
      if (byPrefix.size > 0) prefixes = prefixTable(byPrefix);
      if (byName.size > 0) names = prefixTable(byName);
    },
    collect(podName, take) {
      if (podName === null) return;
      if ('name' in podName) {
        take(byName.get(podName.name));
        prefixes?.visit(podName.name, take);
      } else if ('generateName' in podName) {
        const base = baseOf(podName.generateName);
        prefixes?.visit(base, take);
        take(byStem.get(base));
      } else {
        prefixes?.visit(podName.begin, take);
        prefixes?.visitLonger(podName.begin, take);
        names?.visitLonger(podName.begin, take);
      }
    },
  };
}
