/** When an exclude selector leaves nothing of a match selector. */

import type { FileSelector, ProcessSelector } from './types.ts';

type Selector = FileSelector | ProcessSelector;

/**
 * Whether every event and every workload that `match` can match is matched by `exclude`, both of one section.
 * `false` when it cannot be told: never says `true` wrongly.
 */
export function covers(exclude: Selector, match: Selector): boolean {
  return exclude === match;
}

/** As `covers`, of the conditions about events alone: for `bind`, where those about the workload are answered. */
export function coversEvents(exclude: Selector, match: Selector): boolean {
  return exclude === match;
}
