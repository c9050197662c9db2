/**
 * Waits for something that may never come, all of which can be given up at once. `Promise.race` with a promise that lasts as long as
 * the process would keep a piece of each wait until then.
 */

export interface Waits {
  /** Resolves when `work` has settled, either way, or when waiting was given up. */
  until(work: Promise<unknown>): Promise<void>;
  /** Ends every wait, and each one that begins later at once. */
  giveUp(): void;
}

export function openWaits(): Waits {
  const waiting = new Set<() => void>();
  let isGivenUp = false;
  return {
    until(work) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const end = (): void => {
        waiting.delete(end);
        resolve();
      };
      waiting.add(end);
      work.then(end, end);
      if (isGivenUp) end();
      return promise;
    },
    giveUp() {
      isGivenUp = true;
      for (const end of waiting) end();
    },
  };
}
