/**
 * Events that people see with `kubectl describe` and `kubectl get events`: written one after another from a bounded
 * queue, so that telling never waits and never costs the API server more than it should.
 *
 * Owns the queue. What is told again within ten minutes is not written again; what does not fit or cannot be written is
 * dropped and counted, and written when it is told again.
 */

import { createHash } from 'node:crypto';
import { Counter } from 'prom-client';
import { reportFailure } from '../failures.ts';
import { registry } from '../metrics.ts';
import { type Cluster, hasStatus, KubernetesError } from './client.ts';
import type { EventRecord } from './kinds.ts';
import { ownLabels } from './names.ts';
import { makePace } from './pace.ts';

/** What an Event says, and about what. */
export interface Telling {
  /** Without a namespace for objects of the whole cluster. */
  readonly regarding: NonNullable<EventRecord['regarding']>;
  /** It is a pod that exists, though its UID is not known: that is read first, since `kubectl describe` finds Events by it. */
  readonly isPodThere?: boolean;
  /** One word for programs. */
  readonly reason: string;
  /** What was done, in one word. */
  readonly action: string;
  /** For people; what is over 1 KiB is cut off. */
  readonly note: string;
}

export interface EventWriter {
  /** Never throws and never waits. */
  tell(telling: Telling): void;
  /** Gives up what still waits. Resolves when no request is under way. */
  close(): Promise<void>;
}

export interface EventWriterOptions {
  /** Which part of d4c-gate tells (default: webhook). */
  readonly component?: 'webhook' | 'agent';
  /** The pod or node that tells, at most 128 characters. */
  readonly instance: string;
  /** Events per second in the long run (default: 5). */
  readonly perSecond?: number;
  /** Events at once after a rest (default: 50). */
  readonly burst?: number;
  /** Events that may wait (default: 1000). */
  readonly maxWaiting?: number;
}

interface Waiting {
  /** By which it is known whether it was told before. */
  readonly key: string;
  readonly record: EventRecord;
  readonly isPodThere: boolean;
}

const eventsTotal = new Counter({
  name: 'd4c_gate_events_total',
  help: 'Events told, by result: written, repeated (not written again within ten minutes), dropped.',
  labelNames: ['result'] as const,
  registers: [registry],
});

const repeatMs = 600_000;
const maxRemembered = 4_096;
const maxNoteBytes = 1_024;
const attemptsPerEvent = 3;
const uidDeadlineMs = 1_000;

export function openEventWriter(
  cluster: Pick<Cluster, 'create' | 'find'>,
  { component = 'webhook', instance, perSecond = 5, burst = 50, maxWaiting = 1_000 }: EventWriterOptions,
): EventWriter {
  const pace = makePace(perSecond, burst);
  const closing = new AbortController();
  const waiting: Waiting[] = [];
  /** When each was last told, oldest first. */
  const told = new Map<string, number>();
  let writing: Promise<void> | undefined;

  function isRepeated(key: string): boolean {
    const now = performance.now();
    const last = told.get(key);
    if (last !== undefined && now - last < repeatMs) return true;
    told.delete(key);
    told.set(key, now);
    const [oldest] = told.keys();
    if (told.size > maxRemembered && oldest !== undefined) told.delete(oldest);
    return false;
  }

  function drop(reason: string, ...dropped: readonly Waiting[]): void {
    for (const { key } of dropped) told.delete(key);
    eventsTotal.inc({ result: 'dropped' }, dropped.length);
    reportFailure('kubernetes_event_dropped', { reason }, dropped.length);
  }

  /** An Event without a UID is better than none. */
  async function withUid(record: EventRecord): Promise<EventRecord> {
    const { regarding } = record;
    if (regarding === undefined || regarding.uid !== undefined) return record;
    const pod = await cluster.find('pods', regarding, uidDeadlineMs).catch(() => undefined);
    const uid = pod?.metadata.uid;
    return uid === undefined ? record : { ...record, regarding: { ...regarding, uid } };
  }

  async function write(next: Waiting): Promise<void> {
    await pace.turn(closing.signal);
    const record = next.isPodThere ? await withUid(next.record) : next.record;
    for (let attempt = 1; ; attempt += 1) {
      if (attempt > 1) await pace.turn(closing.signal);
      try {
        await cluster.create('events', record);
        eventsTotal.inc({ result: 'written' });
        return;
      } catch (error) {
        // Another replica has told the same.
        if (hasStatus(error, 409)) return eventsTotal.inc({ result: 'repeated' });
        const isOver = error instanceof KubernetesError && [0, 429, 500, 503, 504].includes(error.status);
        if (!isOver || attempt === attemptsPerEvent) return drop(String(error), next);
        pace.hold(error.retryAfterMs ?? 1_000 * attempt);
      }
    }
  }

  async function writeAll(): Promise<void> {
    let next = waiting.shift();
    try {
      for (; next !== undefined; next = waiting.shift()) await write(next);
    } catch (error) {
      if (!closing.signal.aborted) throw error;
      drop('d4c-gate ends', ...(next === undefined ? [] : [next]), ...waiting.splice(0));
    } finally {
      writing = undefined;
    }
  }

  return {
    tell(telling) {
      if (closing.signal.aborted) return;
      const next = recordOf(telling, component, instance);
      if (isRepeated(next.key)) return eventsTotal.inc({ result: 'repeated' });
      if (waiting.length >= maxWaiting) return drop('more Events than can be written', next);
      waiting.push(next);
      writing ??= writeAll();
    },
    async close() {
      closing.abort();
      await writing;
    },
  };
}

/** Events about objects of the whole cluster are in the namespace `default`, where kubectl looks for them. */
function recordOf(
  { regarding, isPodThere = false, reason, action, note }: Telling,
  component: string,
  instance: string,
): Waiting {
  const { name, namespace, uid = '' } = regarding;
  const key = createHash('sha256')
    .update(JSON.stringify([regarding.kind, namespace, name, uid, reason, note]))
    .digest('hex')
    .slice(0, 16);
  // The same for all replicas for ten minutes, so that the API server refuses the second of two.
  const window = Math.floor(Date.now() / repeatMs).toString(16);
  return {
    key,
    isPodThere,
    record: {
      metadata: {
        // What is cut off must not leave an end with which no part of a name may end.
        name: `${name.slice(0, 200).replace(/[-.]+$/, '')}.${window}${key}`,
        namespace: namespace ?? 'default',
        labels: { ...ownLabels },
      },
      eventTime: new Date().toISOString().replace('Z', '000Z'),
      reportingController: `d4c-gate.io/${component}`,
      reportingInstance: instance.slice(0, 128),
      action,
      reason,
      type: 'Warning',
      note: shortened(note),
      regarding,
    },
  };
}

function shortened(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= maxNoteBytes) return note;
  // A character that is cut in two becomes U+FFFD, which is left out.
  return `${bytes
    .subarray(0, maxNoteBytes - 3)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')}…`;
}
