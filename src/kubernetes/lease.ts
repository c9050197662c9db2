/**
 * Which of several replicas does the work of the controller: the holder of a Lease (coordination.k8s.io). A replica
 * that cannot renew stops leading before any other can begin, and goes on trying; losing never ends the process.
 *
 * Clocks of different machines are never compared: a holder counts as gone when its Lease has not changed for its own
 * duration on this process's monotonic clock (the rule of client-go's leader election).
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { reportFailure } from '../failures.ts';
import { log } from '../log.ts';
import { type Cluster, hasStatus } from './client.ts';
import type { Lease } from './kinds.ts';
import { ownLabels } from './names.ts';

export interface ElectionOptions {
  readonly namespace: string;
  readonly name: string;
  /** Unique among the replicas, such as the pod's name and a random part. */
  readonly identity: string;
  /** Called when this replica becomes the leader; `term` is aborted when it no longer is. */
  readonly onGained: (term: AbortSignal) => void;
  readonly onLost?: () => void;
  readonly times?: Partial<ElectionTimes>;
}

export interface ElectionTimes {
  /** How long others wait for a holder that is silent (default: 15000). Whole seconds. */
  readonly leaseMs: number;
  /** How long a leader that cannot renew goes on leading (default: 10000). Must be below `leaseMs`. */
  readonly renewDeadlineMs: number;
  /** Between two attempts to renew or to acquire (default: 2000). Also the deadline of each call. */
  readonly retryMs: number;
}

export interface Election {
  /** Also `false` when the last renewal is too long ago and no timer has run since (a stopped process). */
  readonly isLeader: boolean;
  /** Stops leading, gives the Lease back so that another need not wait, and stops trying. Twice is fine. */
  close(): Promise<void>;
}

const defaultTimes: ElectionTimes = { leaseMs: 15_000, renewDeadlineMs: 10_000, retryMs: 2_000 };

/** Starts to run for the Lease at once. Never throws. */
export function elect(cluster: Cluster, options: ElectionOptions): Election {
  const { namespace, name, identity } = options;
  const times = { ...defaultTimes, ...options.times };
  const closing = new AbortController();
  /** The Lease as last seen to change, and when that was. */
  let observed: { version: string | undefined; at: number } | undefined;
  let term: { readonly controller: AbortController; renewedAt: number; timer: NodeJS.Timeout } | undefined;

  const holds = () => term !== undefined && performance.now() - term.renewedAt < times.renewDeadlineMs;

  function lose(why: string): void {
    if (term === undefined) return;
    clearTimeout(term.timer);
    const { controller } = term;
    term = undefined;
    controller.abort();
    log.info({ lease: name, why }, 'no longer the leader');
    guarded(() => options.onLost?.());
  }

  function renewed(at: number): void {
    const expire = () => {
      reportFailure('lease_lost', { lease: name });
      lose('the Lease could not be renewed in time');
    };
    const timer = setTimeout(expire, times.renewDeadlineMs - (performance.now() - at)).unref();
    if (term !== undefined) {
      clearTimeout(term.timer);
      term.renewedAt = at;
      term.timer = timer;
      return;
    }
    const controller = new AbortController();
    term = { controller, renewedAt: at, timer };
    log.info({ lease: name, identity }, 'became the leader');
    guarded(() => options.onGained(controller.signal));
  }

  const guarded = (callback: () => void) => {
    try {
      callback();
    } catch (error) {
      log.error({ err: error, lease: name }, 'a callback of the election failed');
    }
  };

  /** Whether the Lease was there and has gone. */
  let isMissed = false;

  /** One look at the Lease: takes it, renews it, or leaves it to its holder. */
  async function attempt(): Promise<void> {
    // Before the call, since the others' clocks start when the API server writes.
    const started = performance.now();
    const lease = await cluster.find('leases', { name, namespace }, times.retryMs);
    if (closing.signal.aborted) return;
    const { holderIdentity = '', leaseDurationSeconds = times.leaseMs / 1000 } = lease?.spec ?? {};
    const version = lease?.metadata.resourceVersion;
    const isFirst = observed === undefined;
    if (observed === undefined || observed.version !== version) observed = { version, at: performance.now() };
    isMissed = lease === undefined && (isMissed || !isFirst);
    // An uninstall takes the Lease away a moment before it ends the replicas: made again it would stay, and the next
    // installation be refused. Well before the deadline of its holder.
    if (isMissed && performance.now() - observed.at < times.renewDeadlineMs / 3) return;
    if (holderIdentity !== '' && holderIdentity !== identity) {
      lose(`\`${holderIdentity}\` holds the Lease`);
      if (performance.now() - observed.at < leaseDurationSeconds * 1000) return;
    }
    const written = await write(lease, identity, times.leaseMs);
    observed = { version: written.metadata.resourceVersion, at: performance.now() };
    if (!closing.signal.aborted) renewed(started);
  }

  function write(lease: Lease | undefined, holderIdentity: string, leaseMs: number): Promise<Lease> {
    const now = microTime();
    const before = lease?.spec ?? {};
    const changesHands = before.holderIdentity !== holderIdentity;
    const spec = {
      holderIdentity,
      leaseDurationSeconds: leaseMs / 1000,
      acquireTime: changesHands ? now : (before.acquireTime ?? now),
      renewTime: now,
      leaseTransitions: (before.leaseTransitions ?? 0) + (changesHands && lease !== undefined ? 1 : 0),
    };
    const deadline = { deadlineMs: times.retryMs };
    if (lease === undefined)
      return cluster.create(
        'leases',
        { metadata: { name, namespace, labels: { ...ownLabels } }, spec },
        deadline,
      );
    // The resourceVersion that was read makes the API server refuse all but the first of several writers.
    return cluster.replace('leases', { metadata: lease.metadata, spec }, deadline);
  }

  async function keepTrying(): Promise<void> {
    while (!closing.signal.aborted) {
      try {
        await attempt();
      } catch (error) {
        // 409: another candidate was quicker.
        if (!hasStatus(error, 409))
          reportFailure('lease_unreachable', { lease: name, reason: String(error) });
      }
      const pauseMs = times.retryMs * (0.8 + 0.4 * Math.random());
      await sleep(pauseMs, undefined, { signal: closing.signal }).catch(() => undefined);
    }
  }

  async function giveBack(): Promise<void> {
    lose('this replica ends');
    await trying;
    try {
      const lease = await cluster.find('leases', { name, namespace }, times.retryMs);
      if (lease?.spec?.holderIdentity === identity) await write(lease, '', 1_000);
    } catch (error) {
      reportFailure('lease_unreachable', { lease: name, reason: String(error) });
    }
  }

  const trying = keepTrying();
  let closed: Promise<void> | undefined;
  return {
    get isLeader() {
      return holds();
    },
    close() {
      closing.abort();
      closed ??= giveBack();
      return closed;
    },
  };
}

/** Kubernetes wants exactly six digits after the second. */
const microTime = () => new Date().toISOString().replace('Z', '000Z');
