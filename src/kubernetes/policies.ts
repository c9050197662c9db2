/**
 * The policies that ContainerPolicy objects hold, each with what is wrong with it. A bad edit never replaces a good
 * policy: the last good one of the same object stays in use, and the faults say why the edit is not.
 *
 *   watch -> queue of names -> readPolicyJson, a few milliseconds at a time -> onChange
 */

import { setImmediate } from 'node:timers/promises';
import { reportFailure } from '../failures.ts';
import { readPolicyJson } from '../policy/read.ts';
import type { Fault, Policy } from '../policy/types.ts';
import type { ValidateOptions } from '../policy/validate.ts';
import { pacer } from '../sources/slices.ts';
import type { Cluster } from './client.ts';
import type { ContainerPolicy } from './kinds.ts';
import { type Watched, type WatchTimes, watch } from './watches.ts';

export interface ClusterPolicy {
  /** The object's name. */
  readonly id: string;
  readonly uid: string;
  /** Of the object as it is now; the faults speak of this one. */
  readonly generation: number;
  /** Empty when nothing is wrong; warnings as well. Paths begin below `spec`; lines and columns mean nothing here. */
  readonly faults: readonly Fault[];
  /** The last good policy, and the generation that it is from; absent when there never was one. */
  readonly good?: { readonly policy: Policy; readonly generation: number };
}

export interface PolicyWatchOptions extends Pick<ValidateOptions, 'mode' | 'clusterName'> {
  /** Called after every batch of changes of a policy itself, the first batch included. */
  readonly onChange?: () => void;
  readonly times?: Partial<WatchTimes>;
}

export interface WatchedPolicies {
  /** `true` once every policy that the cluster had at the beginning has been read. Never rejects. */
  readonly ready: Promise<boolean>;
  get(id: string): ClusterPolicy | undefined;
  /** Sorted by ID. */
  list(): ClusterPolicy[];
  /** Asks the API server now, without waiting for its notice. What cannot be asked stays as it is. Never rejects. */
  refresh(): Promise<void>;
  stalenessMs(): number;
  close(): Promise<void>;
}

/** What is kept of an object until it has been read. */
interface Pending {
  readonly uid: string;
  readonly generation: number;
  /** '' once it has been read: the watch keeps this object, and nobody needs the text of ten thousand policies again. */
  text: string;
}

/** For each page of a list that a request waits for. */
const refreshMs = 1_000;

/** Starts at once and never throws. */
export function watchPolicies(cluster: Cluster, options: PolicyWatchOptions = {}): WatchedPolicies {
  const { mode = 'strict', clusterName } = options;
  const policies = new Map<string, ClusterPolicy>();
  /** Newest state of each object that changed, `undefined` for one that is gone. */
  const queue = new Map<string, Pending | undefined>();
  /** While a list is under way: whose changes the watch has told since it began. */
  let toldMeanwhile: Set<string> | undefined;
  let reading: Promise<void> | undefined;
  let closed = false;

  /** Whether anything is different from what was known. */
  function read(id: string, pending: Pending | undefined): boolean {
    const before = policies.get(id);
    if (pending === undefined) return policies.delete(id);
    const { uid, generation, text } = pending;
    // Only status or labels changed. Another uid is another object, and begins without a last good policy.
    if (before?.uid === uid && before.generation === generation) return false;
    const { policy, faults } = readPolicyJson(text, { mode, clusterName });
    const last = before?.uid === uid ? before.good : undefined;
    const good = policy === undefined ? last : { policy, generation };
    policies.set(id, { id, uid, generation, faults, ...(good && { good }) });
    if (policy === undefined) {
      const reasons = faults.map(({ path, message, code }) => `${path}: ${message} (${code})`);
      reportFailure('policy_reload_refused', { policy: id, keeps: last?.generation, reasons });
    }
    return true;
  }

  async function readQueue(): Promise<void> {
    // Never to its end within the call that begins it: `reading` is set by then. Also joins changes that come together.
    await setImmediate();
    const pause = pacer();
    let hasChanged = false;
    while (queue.size > 0 && !closed) {
      for (const [id, pending] of queue) {
        queue.delete(id);
        hasChanged = read(id, pending) || hasChanged;
        if (pending !== undefined) pending.text = '';
        await pause();
      }
    }
    reading = undefined;
    // The controller writes the status of thousands of policies; nobody has to do anything about that.
    if (closed || !hasChanged) return;
    try {
      options.onChange?.();
    } catch (error) {
      reportFailure('watch_handler_failed', { kind: 'containerpolicies', err: error });
    }
  }

  /** Never rejects. */
  async function refresh(): Promise<void> {
    const known = new Map(policies);
    const told = new Set<string>();
    toldMeanwhile = told;
    const listed = new Set<string>();
    try {
      for await (const { items } of cluster.pages('containerpolicies', { deadlineMs: refreshMs })) {
        for (const { id, pending } of items.map(pendingOf)) {
          listed.add(id);
          const newest = queue.has(id) ? queue.get(id) : policies.get(id);
          // The watch may have been quicker than this list, whose pages all are of the moment when it began.
          const isOlder =
            newest?.uid === pending.uid ? newest.generation >= pending.generation : told.has(id);
          if (isOlder) continue;
          queue.set(id, pending);
        }
      }
    } catch (error) {
      reportFailure('watch_interrupted', { kind: 'containerpolicies', reason: String(error) });
      return;
    } finally {
      toldMeanwhile = undefined;
    }
    for (const [id, { uid }] of known) {
      if (!listed.has(id) && policies.get(id)?.uid === uid && !queue.has(id)) queue.set(id, undefined);
    }
    if (queue.size > 0) reading ??= readQueue();
    await reading;
  }

  let lastList = Promise.resolve();
  let nextList: Promise<void> | undefined;
  const watched: Watched<{ id: string; pending: Pending }> = watch(cluster, 'containerpolicies', {
    project: pendingOf,
    ...(options.times && { times: options.times }),
    onChange: (changes) => {
      for (const { type, object } of changes) {
        queue.set(object.id, type === 'deleted' ? undefined : object.pending);
        toldMeanwhile?.add(object.id);
      }
      reading ??= readQueue();
    },
  });
  const ready = watched.ready.then(async (synced) => {
    await reading;
    return synced;
  });
  return {
    ready,
    get: (id) => policies.get(id),
    list: () => [...policies.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    refresh() {
      // Whoever comes while a list is under way needs one that begins later, and shares it with all who wait for it.
      nextList ??= lastList.then(() => {
        nextList = undefined;
        lastList = refresh();
        return lastList;
      });
      return nextList;
    },
    stalenessMs: () => watched.stalenessMs(),
    async close() {
      closed = true;
      await watched.close();
      await reading;
    },
  };
}

function pendingOf({ metadata, spec }: ContainerPolicy): { id: string; pending: Pending } {
  const { name = '', uid = '', generation = 0 } = metadata;
  return { id: name, pending: { uid, generation, text: JSON.stringify(spec ?? null) } };
}
