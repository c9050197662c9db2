/** Long computations, a few milliseconds at a time, so that requests are answered meanwhile. */

import { setImmediate } from 'node:timers/promises';

/** How long a computation may hold up everything else before it lets it through, in milliseconds. */
const sliceMs = 2;

/** Lets everything else through when the last time was more than a few milliseconds ago. One pacer for one computation. */
export type Pacer = () => Promise<void> | undefined;

export function pacer(): Pacer {
  let resumed = performance.now();
  return () => {
    if (performance.now() - resumed < sliceMs) return undefined;
    return setImmediate().then(() => {
      resumed = performance.now();
    });
  };
}

/** What the steps return. INVARIANT: each step takes much less than a slice. */
export async function runInSlices<T>(steps: Iterator<undefined, T, undefined>): Promise<T> {
  const pause = pacer();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await pause();
  }
}
