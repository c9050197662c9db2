/**
 * The generations whose annotations are honest. Between the mutating and the validating call for one pod the
 * policies may change, and the two calls may reach replicas that learn of a change at different moments.
 */

import type { Generation } from '../sources/directory.ts';

export interface Generations {
  current(): Generation;
  /** The current generation first, then those that were replaced moments ago, newest first. */
  honest(): readonly Generation[];
  /** Whether the policies were first read here moments ago: generations that were honest before that are not known. */
  isNewcomer(): boolean;
  /** Looks for a change of the policies now; resolves when it has been published or refused. Never rejects. */
  refresh(): Promise<void>;
  publish(generation: Generation): void;
}

/**
 * Starts with `first`; number 0 stands for policies that nobody has read. A generation stays honest for `graceMs`
 * milliseconds after it was replaced (default: 10 seconds), and for as long a replica is a newcomer.
 */
export function rememberGenerations(
  first: Generation,
  refresh: () => Promise<void>,
  graceMs = 10_000,
): Generations {
  let current = first;
  let readAt = Number.NEGATIVE_INFINITY;
  let replaced: { generation: Generation; at: number }[] = [];
  const forget = (): void => {
    replaced = replaced.filter(({ at }) => performance.now() - at < graceMs);
  };
  return {
    current: () => current,
    honest() {
      forget();
      return [current, ...replaced.map(({ generation }) => generation)];
    },
    isNewcomer: () => performance.now() - readAt < graceMs,
    refresh,
    publish(generation) {
      forget();
      // What nobody had read yet gives nothing that was ever right.
      if (current.number === 0) readAt = performance.now();
      else replaced.unshift({ generation: current, at: performance.now() });
      current = generation;
    },
  };
}
