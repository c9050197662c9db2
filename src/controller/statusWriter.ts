/**
 * Keeps the status of every ContainerPolicy true: written when it would say something else than it does, some seconds
 * after the cause, so that a thousand pods that start make one write.
 *
 * Owns what it remembers of the statuses: read once when the term begins and every ten minutes, then what was written.
 */

import { isDeepStrictEqual } from 'node:util';
import { reportFailure } from '../failures.ts';
import type { Cluster } from '../kubernetes/client.ts';
import type { ContainerPolicy } from '../kubernetes/kinds.ts';
import { makePace } from '../kubernetes/pace.ts';
import type { ClusterPolicy } from '../kubernetes/policies.ts';
import { policyStatus } from './policyStatus.ts';
import type { Tally } from './tally.ts';
import { type Again, openQueue } from './workQueue.ts';

export interface StatusWriterOptions {
  readonly cluster: Pick<Cluster, 'mergePatch' | 'pages'>;
  readonly policyOf: (id: string) => ClusterPolicy | undefined;
  /** Whether a file has this ID. */
  readonly isTaken: (id: string) => boolean;
  readonly tally: Pick<Tally, 'ofPolicy'>;
  readonly term: AbortSignal;
  /** From a change to the write (default: 1000 for the policy itself, three times that for counts). */
  readonly settleMs?: number;
}

export interface StatusWriter {
  policiesChanged(ids: Iterable<string>): void;
  countsChanged(ids: Iterable<string>): void;
}

type Status = ContainerPolicy['status'];

const writesPerSecond = 50;
const readAgainMs = 600_000;
const retryMs = 5_000;

export function openStatusWriter(options: StatusWriterOptions): StatusWriter {
  const { cluster, policyOf, isTaken, tally, term, settleMs = 1_000 } = options;
  const statuses = new Map<string, { readonly uid: string; readonly status: Status }>();
  const pace = makePace(writesPerSecond);
  const queue = openQueue({ workers: 4, pace, term, failure: 'policy_status_unwritten', work: write });
  let isRead = false;

  async function write(id: string, turn: () => Promise<void>): Promise<Again> {
    // Without the status that the policy has, a condition would lose since when it holds.
    if (!isRead) return 'again';
    const policy = policyOf(id);
    if (policy === undefined) {
      statuses.delete(id);
      return 'done';
    }
    const remembered = statuses.get(id);
    const before = remembered?.uid === policy.uid ? remembered.status : undefined;
    const status = policyStatus(policy, isTaken(id), tally.ofPolicy(id), before, new Date().toISOString());
    if (isDeepStrictEqual(status, before)) return 'done';
    await turn();
    const patch = { metadata: { uid: policy.uid }, status };
    await cluster.mergePatch('containerpolicies', { name: id }, patch, { subresource: 'status' });
    statuses.set(id, { uid: policy.uid, status });
    return 'done';
  }

  async function readAll(): Promise<void> {
    try {
      for await (const { items } of cluster.pages('containerpolicies')) {
        if (term.aborted) return;
        for (const { metadata, status } of items) {
          statuses.set(metadata.name ?? '', { uid: metadata.uid ?? '', status: withoutOthers(status) });
        }
      }
      isRead = true;
      for (const id of statuses.keys()) queue.add(id);
    } catch (error) {
      reportFailure('policy_status_unwritten', { reason: String(error) });
    }
    if (term.aborted) return;
    const timer = setTimeout(() => void readAll(), isRead ? readAgainMs : retryMs).unref();
    term.addEventListener('abort', () => clearTimeout(timer), { once: true });
  }

  void readAll();
  return {
    policiesChanged(ids) {
      for (const id of ids) queue.add(id, settleMs);
    },
    countsChanged(ids) {
      for (const id of ids) if (policyOf(id) !== undefined) queue.add(id, 3 * settleMs);
    },
  };
}

/** The fields that are compared, in whatever order the API server keeps them. */
function withoutOthers(status: Status): Status {
  if (status === undefined) return undefined;
  const { observedGeneration, boundPods, undecidedPods, conditions } = status;
  return { observedGeneration, boundPods, undecidedPods, conditions } as Status;
}
