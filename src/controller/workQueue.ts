/**
 * Keys of objects that need a request to the API server, worked on a few at a time and never one twice at once.
 *
 * Owns the timers of keys that wait for another attempt. A key that is added while it is worked on is worked on once
 * more afterwards, so what a worker reads when it begins is enough. Ends with the term; what is under way then ends by
 * its own deadline.
 */

import { type Failure, reportFailure } from '../failures.ts';
import { hasStatus, KubernetesError } from '../kubernetes/client.ts';
import type { Pace } from '../kubernetes/pace.ts';

export interface WorkQueueOptions {
  /** Keys that are worked on at the same time. */
  readonly workers: number;
  readonly pace: Pace;
  readonly term: AbortSignal;
  /** Counted when an attempt failed for another reason than a conflict; it is made again. */
  readonly failure: Failure;
  /** One attempt. Calls `turn` before each request, so that a key which needs none costs none. */
  readonly work: (key: string, turn: () => Promise<void>) => Promise<Again>;
}

/** Whether the key is done, or needs another attempt although nothing failed. */
export type Again = 'done' | 'again';

export interface WorkQueue {
  /** @param afterMs not before; a key that already waits keeps the earlier moment (default: at once) */
  add(key: string, afterMs?: number): void;
  /** Keys that wait or are worked on. */
  readonly size: number;
}

const firstPauseMs = 200;
const longestPauseMs = 10_000;
/** After an answer that says nothing about this one object, the others wait as well. */
const holdMs = 1_000;

export function openQueue({ workers, pace, term, failure, work }: WorkQueueOptions): WorkQueue {
  const waiting = new Set<string>();
  const timers = new Map<string, { readonly timer: NodeJS.Timeout; readonly at: number }>();
  const running = new Set<string>();
  const attempts = new Map<string, number>();

  function pump(): void {
    for (const key of waiting) {
      if (running.size >= workers || term.aborted) return;
      if (running.has(key)) continue;
      waiting.delete(key);
      running.add(key);
      void attempt(key);
    }
  }

  async function attempt(key: string): Promise<void> {
    try {
      const again = await work(key, () => pace.turn(term));
      if (again === 'again') retry(key);
      else attempts.delete(key);
    } catch (error) {
      if (!term.aborted) meet(key, error);
    } finally {
      running.delete(key);
      pump();
    }
  }

  function meet(key: string, error: unknown): void {
    const status = error instanceof KubernetesError ? error.status : undefined;
    // Gone: what follows from that comes by the watch.
    if (status === 404) {
      attempts.delete(key);
      return;
    }
    if (hasStatus(error, 429)) pace.hold(error.retryAfterMs ?? holdMs);
    else if (status === 0 || (status !== undefined && status >= 500)) pace.hold(holdMs);
    if (status !== 409)
      reportFailure(failure, { key, reason: error instanceof Error ? error.message : String(error) });
    retry(key);
  }

  function retry(key: string): void {
    const count = (attempts.get(key) ?? 0) + 1;
    attempts.set(key, count);
    const pauseMs = Math.min(firstPauseMs * 2 ** (count - 1), longestPauseMs);
    queue.add(key, pauseMs * (0.5 + Math.random() / 2));
  }

  const queue: WorkQueue = {
    add(key, afterMs = 0) {
      if (term.aborted || waiting.has(key)) return;
      const planned = timers.get(key);
      if (afterMs <= 0) {
        clearTimeout(planned?.timer);
        timers.delete(key);
        waiting.add(key);
        pump();
        return;
      }
      const at = performance.now() + afterMs;
      if (planned !== undefined && planned.at <= at) return;
      clearTimeout(planned?.timer);
      const timer = setTimeout(() => {
        timers.delete(key);
        queue.add(key);
      }, afterMs).unref();
      timers.set(key, { timer, at });
    },
    get size() {
      return waiting.size + timers.size + running.size;
    },
  };
  term.addEventListener(
    'abort',
    () => {
      for (const { timer } of timers.values()) clearTimeout(timer);
      timers.clear();
      waiting.clear();
      attempts.clear();
    },
    { once: true },
  );
  return queue;
}
