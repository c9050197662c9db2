/** How fast requests of our own accord may reach the API server: a token bucket that can be held. */

import { setTimeout as sleep } from 'node:timers/promises';

export interface Pace {
  /** Resolves when one more request may be sent. @throws the signal's reason when it comes first */
  turn(signal?: AbortSignal): Promise<void>;
  /** Lets no request through for so many milliseconds from now, as `Retry-After` asks. */
  hold(ms: number): void;
}

/**
 * @param perSecond requests per second in the long run
 * @param burst how many may follow each other at once after a rest (default: a tenth of a second's worth)
 */
export function makePace(perSecond: number, burst = Math.max(1, perSecond / 10)): Pace {
  const everyMs = 1_000 / perSecond;
  /** When the bucket would be full again; the tokens that are left follow from it. */
  let fullAt = 0;
  let heldUntil = 0;
  return {
    async turn(signal) {
      const now = performance.now();
      const start = Math.max(fullAt, now);
      fullAt = start + everyMs;
      let waitMs = Math.max(start - (burst - 1) * everyMs, heldUntil) - now;
      while (waitMs > 0) {
        await sleep(waitMs, undefined, { signal });
        waitMs = heldUntil - performance.now();
      }
      signal?.throwIfAborted();
    },
    hold(ms) {
      heldUntil = Math.max(heldUntil, performance.now() + ms);
    },
  };
}
