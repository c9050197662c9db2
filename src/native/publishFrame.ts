/** The frame that publishes a table for a container (`Keeper::publish`). */

import type { ContainerKey, RuleNames } from './contract.ts';
import { counted, frameOf, number } from './frames.ts';
import { ruleNames } from './ruleNames.ts';

/** `table`: `null` where no policy applies. `context` comes back with each event. `rules` is what the ledger counts by. */
export function publishFrame(
  key: ContainerKey,
  table: Uint8Array | null,
  generation: number,
  context: string,
  rules: readonly RuleNames[],
): Buffer {
  return frameOf(
    'P',
    number(key, 8),
    number(generation, 8),
    number(table === null ? 0 : 1, 1),
    counted(table ?? new Uint8Array()),
    counted(Buffer.from(context)),
    counted(ruleNames(rules)),
  );
}
