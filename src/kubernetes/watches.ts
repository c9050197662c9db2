/**
 * Keeps a copy of all objects of one kind, whatever the API server does: away, silent, slow, out of history, busy.
 *
 * Owns one connection to the API server at a time and the timer between two of them; the objects belong to the store.
 * The flow: list every page, then watch from there in short pieces, and list again from time to time. The server ends
 * each piece after 20 seconds with a bookmark, so one that has not ended 3 seconds later hangs and is dropped. That
 * notices a dead connection within the 30 seconds we promise, which the server's own bookmarks (one a minute) and TCP
 * would not. Every failure leads to a pause and another attempt; none of them removes an object.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';
import { type Cluster, KubernetesError } from './client.ts';
import type { Kind, KubernetesObject, ObjectOf } from './kinds.ts';
import { makeRecovery, type RecoveryTimes } from './recovery.ts';
import { trackStaleness } from './staleness.ts';
import { type Change, Store } from './store.ts';

export interface WatchOptions<K extends Kind, T> {
  /** Absent: the whole cluster. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** What to keep of an object (default: all of it). Must not throw. */
  readonly project?: (object: ObjectOf[K]) => T;
  /** Called with what changed; for a list once per page, for the first list before `ready` resolves. */
  readonly onChange?: (changes: readonly Change<T>[]) => void;
  readonly times?: Partial<WatchTimes>;
}

export interface WatchTimes extends RecoveryTimes {
  /** For how long one watch request lasts before the server ends it (default: 20000). */
  readonly pieceMs: number;
  /** How much later than that it counts as hanging (default: 3000). */
  readonly graceMs: number;
  /** For the server's first byte, and for each page of a list (default: 10000). */
  readonly deadlineMs: number;
  /** Between two lists that nothing forced (default: 600000, less up to 20 % jitter). */
  readonly relistMs: number;
  /** Within this time after an outage, or after a list failed that was not needed to go on (default: 60000). */
  readonly unhurriedListMs: number;
}

export interface Watched<T> {
  /** `true` once the first list is complete; `false` when the watch was closed before. Never rejects. */
  readonly ready: Promise<boolean>;
  readonly synced: boolean;
  readonly size: number;
  get(name: string, namespace?: string): T | undefined;
  list(): T[];
  /** Milliseconds since the server last said anything about this kind; normally below `pieceMs`. */
  stalenessMs(): number;
  /** Ends the watch; the last objects stay readable. Calling it again is fine. */
  close(): Promise<void>;
}

const defaultTimes: WatchTimes = {
  pieceMs: 20_000,
  graceMs: 3_000,
  deadlineMs: 10_000,
  relistMs: 600_000,
  unhurriedListMs: 60_000,
  firstPauseMs: 250,
  longestPauseMs: 10_000,
};

interface WatchLine<O> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: O;
}

/** Starts at once and never throws; `ready` tells when there is something to read. */
export function watch<K extends Kind, T = ObjectOf[K]>(
  cluster: Cluster,
  kind: K,
  options: WatchOptions<K, T> = {},
): Watched<T> {
  type O = ObjectOf[K] & KubernetesObject;
  const times = { ...defaultTimes, ...options.times };
  const store = new Store<O, T>(options.project ?? ((object) => object as unknown as T));
  const closing = new AbortController();
  const staleness = trackStaleness(kind);
  const recovery = makeRecovery(times);
  const { promise: ready, resolve: settleReady } = Promise.withResolvers<boolean>();
  let synced = false;
  /** Where to watch from; `undefined`: only a list can tell. */
  let resourceVersion: string | undefined;
  let listAgainAt = 0;

  const tell = (changes: readonly (Change<T> | undefined)[]) => {
    const real = changes.filter((change) => change !== undefined);
    if (real.length === 0) return;
    try {
      options.onChange?.(real);
    } catch (error) {
      reportFailure('watch_handler_failed', { kind, err: error });
    }
  };

  async function list(): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = options;
    const replacement = store.replaceAll();
    let version: string | undefined;
    const selection = { namespace, labelSelector, fieldSelector, deadlineMs: times.deadlineMs };
    for await (const page of cluster.pages(kind, selection)) {
      if (closing.signal.aborted) return;
      staleness.heard();
      // Page by page: if the next one fails, what is in the store has been told.
      tell(page.items.map((object) => replacement.put(object)));
      version = page.resourceVersion;
    }
    tell(replacement.finish());
    // Nothing can be watched from there, and to list again at once would be all that is done from then on.
    if (!version) throw new Error(`list of ${kind}: an answer without a resourceVersion`);
    resourceVersion = version;
    listAgainAt = performance.now() + times.relistMs * (1 - 0.2 * Math.random());
    recovery.listed();
    synced = true;
    settleReady(true);
  }

  /** One piece of watching. Returns when the server ends it as agreed, throws when anything else ends it. */
  async function watchPiece(): Promise<void> {
    const started = performance.now();
    const query = {
      labelSelector: options.labelSelector,
      fieldSelector: options.fieldSelector,
      resourceVersion,
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(Math.ceil(times.pieceMs / 1000)),
    };
    const lines = await cluster.watchLines(kind, query, {
      namespace: options.namespace,
      deadlineMs: times.deadlineMs,
      lifeMs: times.pieceMs + times.graceMs,
      signal: closing.signal,
    });
    staleness.heard();
    for await (const line of lines) {
      staleness.heard();
      take(JSON.parse(line));
      watches();
    }
    if (performance.now() - started < 1_000) throw new Error('the watch ended as soon as it began');
    staleness.heard();
    watches();
  }

  /** Counts what went wrong before as over. The list after an outage has time: everybody comes back at the same moment. */
  function watches(): void {
    if (!recovery.watched()) return;
    const dueAt = performance.now() + times.unhurriedListMs * (1 - Math.random() / 2);
    listAgainAt = Math.min(listAgainAt, dueAt);
  }

  function take({ type, object }: WatchLine<O>): void {
    if (type === 'ERROR') {
      const {
        code = 500,
        message,
        reason = '',
      } = object as { code?: number; message?: string; reason?: string };
      throw new KubernetesError(code, reason, `watch of ${kind}: ${code} ${message}`);
    }
    if (object?.metadata === undefined) throw new Error(`watch of ${kind}: a line without an object`);
    if (type !== 'BOOKMARK') tell([type === 'DELETED' ? store.remove(object) : store.put(object)]);
    resourceVersion = object.metadata.resourceVersion;
  }

  async function pauseAfter(error: unknown, during: 'list' | 'watch'): Promise<void> {
    const { pauseMs, next } = recovery.failed(error, during);
    if (next === 'list') resourceVersion = undefined;
    else if (next === 'listOnce') listAgainAt = 0;
    else if (during === 'list') listAgainAt = performance.now() + times.unhurriedListMs;
    const reason = error instanceof GateError ? error.message : String(error);
    reportFailure('watch_interrupted', { kind, reason, failuresInRow: recovery.failuresInRow });
    await sleep(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined);
  }

  async function keepGoing(): Promise<void> {
    while (!closing.signal.aborted) {
      const isListing = resourceVersion === undefined || performance.now() > listAgainAt;
      try {
        await (isListing ? list() : watchPiece());
      } catch (error) {
        if (!closing.signal.aborted) await pauseAfter(error, isListing ? 'list' : 'watch');
      }
    }
    staleness.forget();
    settleReady(false);
  }

  const ended = keepGoing();
  return {
    ready,
    get synced() {
      return synced;
    },
    get size() {
      return store.size;
    },
    get: (name, namespace) => store.get(name, namespace),
    list: () => [...store.values()],
    stalenessMs: () => staleness.ms(),
    close() {
      closing.abort();
      return ended;
    },
  };
}
