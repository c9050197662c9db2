/** Waiting with a deadline. */

import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';

/** Resolves once `holds` is true, looking every 10 milliseconds; fails after `deadlineMs` (default: 10 seconds). */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await holds())) {
    assert.ok(performance.now() < end, `not within ${deadlineMs} ms: ${what}`);
    await setTimeout(10);
  }
}
