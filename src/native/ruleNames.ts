/** The names of a table's rules as the keeper's ledger takes them (`ledger.h`): it counts by them and knows nothing else of rules. */

import type { RuleNames } from './contract.ts';
import { counted, number } from './frames.ts';

/** More selectors than this a section does not have. */
const maxSelectors = 64;

/** Number of policies (2); each: its ID, and for files and processes the number of selectors (1) and their names. */
export function ruleNames(policies: readonly RuleNames[]): Buffer {
  const list = (names: readonly string[]): Buffer[] => {
    const kept = names.slice(0, maxSelectors);
    return [number(kept.length, 1), ...kept.map((name) => counted(Buffer.from(name)))];
  };
  return Buffer.concat([
    number(policies.length, 2),
    ...policies.flatMap(({ id, file, process }) => [
      counted(Buffer.from(id)),
      ...list(file),
      ...list(process),
    ]),
  ]);
}
