/** Failures are things lost or late: counted always, logged at a limited rate, never thrown. */

import { log } from './log.ts';
import { failuresTotal } from './metrics.ts';

/** Every failure with what is done about it. The key is the value of the metric's label `failure`. */
export const failures = {
  policy_reload_refused: 'the last good generation stays',
} as const;

export type Failure = keyof typeof failures;

const logEveryMs = 5_000;
const lastLogged = new Map<Failure, number>();

/** Counts `count` failures and logs at most one line per failure kind every 5 seconds. */
export function reportFailure(failure: Failure, details: Record<string, unknown> = {}, count = 1): void {
  failuresTotal.inc({ failure }, count);
  const now = performance.now();
  const last = lastLogged.get(failure);
  if (last !== undefined && now - last < logEveryMs) return;
  lastLogged.set(failure, now);
  log.warn({ failure, answer: failures[failure], ...details }, 'failure');
}
