/** What the file of `health.ts` says. Apart from it, since a probe reads it every few seconds and should load nothing else. */

import { uptime } from 'node:os';
import { parseJson } from './smallFile.ts';

export interface HealthState {
  /** Whether containers that start now are gated as policies say. */
  readonly isReady: boolean;
  /** Why not, or why only in part; one line. */
  readonly reason: string | undefined;
}

/** Longer than any collection of garbage or any other stall that passes by itself. */
const oldAfterSeconds = 60;

/** What a file says: `undefined` when all is well, else one line. `nowSeconds` is the machine's uptime. */
export function faultOfHealth(
  text: string | undefined,
  what: 'ready' | 'alive',
  nowSeconds = uptime(),
): string | undefined {
  const said =
    text === undefined ? undefined : (parseJson(text) as Partial<HealthState & { uptime: number }>);
  if (typeof said?.uptime !== 'number') return 'the agent has not said how it is';
  const age = Math.round(nowSeconds - said.uptime);
  if (age > oldAfterSeconds) return `the agent has said nothing for ${age} s`;
  if (what === 'alive' || said.isReady === true) return undefined;
  return `not ready: ${said.reason ?? 'it does not say why'}`;
}
