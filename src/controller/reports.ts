/**
 * What policies do in a namespace, as a Report of openreports.io/v1alpha1 for the tools that collect such reports: one
 * for each namespace that has opted in, one result for each policy, never more than a thousand.
 *
 * Owns the Reports named `d4c-gate`. Where the cluster does not serve that API nothing is written, and the API is asked
 * for again every five minutes.
 */

import { reportFailure } from '../failures.ts';
import type { Cluster } from '../kubernetes/client.ts';
import { kinds, type Report, type ReportOutcome } from '../kubernetes/kinds.ts';
import { neverTouched, ownLabels, ownSelector } from '../kubernetes/names.ts';
import type { NamespaceModes } from '../kubernetes/namespaceModes.ts';
import { makePace } from '../kubernetes/pace.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import { enforcement } from './policyStatus.ts';
import type { Tally } from './tally.ts';
import { type Again, openQueue } from './workQueue.ts';

export interface ReportsOptions {
  readonly cluster: Pick<Cluster, 'apply' | 'delete' | 'list' | 'serves'>;
  readonly namespaces: Pick<NamespaceModes, 'get' | 'list'>;
  readonly policyOf: (id: string) => CompiledPolicy | undefined;
  readonly tally: Pick<Tally, 'ofNamespace'>;
  readonly ownNamespace: string;
  readonly term: AbortSignal;
  /** From a change to the write (default: 5000; none when the namespace opts out). */
  readonly settleMs?: number;
}

export interface Reports {
  /** Something about these namespaces, or their pods or policies, has changed. */
  changed(namespaces: Iterable<string>): void;
}

export const reportName = 'd4c-gate';
const maxResults = 1_000;
const writesPerSecond = 5;
const askAgainMs = 300_000;

export function openReports(options: ReportsOptions): Reports {
  const { cluster, namespaces, policyOf, tally, ownNamespace, term, settleMs = 5_000 } = options;
  /** What was last written, so that what says the same is not written again; '' for a Report of unknown content. */
  const written = new Map<string, string>();
  const pace = makePace(writesPerSecond);
  const queue = openQueue({ workers: 2, pace, term, failure: 'report_unwritten', work: write });
  let isServed = false;

  async function write(namespace: string, turn: () => Promise<void>): Promise<Again> {
    if (!isServed) return 'done';
    const state = namespaces.get(namespace);
    const isOut = state?.mode === undefined || neverTouched(ownNamespace).has(namespace);
    if (isOut && !written.has(namespace)) return 'done';
    if (isOut) {
      await turn();
      await cluster.delete('reports', { name: reportName, namespace });
      written.delete(namespace);
      return 'done';
    }
    const report = reportOf(namespace, tally.ofNamespace(namespace), policyOf);
    const text = JSON.stringify(report);
    if (written.get(namespace) === text) return 'done';
    await turn();
    await cluster.apply('reports', report);
    written.set(namespace, text);
    return 'done';
  }

  async function begin(): Promise<void> {
    try {
      isServed = await cluster.serves(kinds.reports.apiVersion);
      if (isServed) {
        for (const { metadata } of await cluster.list('reports', { labelSelector: ownSelector })) {
          if (metadata.name === reportName) written.set(metadata.namespace ?? '', '');
        }
        for (const namespace of written.keys()) queue.add(namespace);
        for (const { name } of namespaces.list()) queue.add(name, settleMs);
        return;
      }
    } catch (error) {
      reportFailure('report_unwritten', { reason: String(error) });
    }
    if (term.aborted) return;
    const timer = setTimeout(() => void begin(), askAgainMs).unref();
    term.addEventListener('abort', () => clearTimeout(timer), { once: true });
  }

  void begin();
  return {
    changed(names) {
      for (const name of names) {
        const isOut = namespaces.get(name)?.mode === undefined;
        queue.add(name, isOut ? 0 : settleMs);
      }
    },
  };
}

/** One result for each policy that applies, or may apply, to a pod of the namespace. */
export function reportOf(
  namespace: string,
  counts: ReturnType<Tally['ofNamespace']>,
  policyOf: (id: string) => CompiledPolicy | undefined,
): Report {
  const shown = counts.length > maxResults ? counts.slice(0, maxResults - 1) : counts;
  const results = shown.flatMap(({ id, count }) => {
    const policy = policyOf(id);
    if (policy === undefined) return [];
    const { isWhole, message } = enforcement(policy);
    const outcome: ReportOutcome = !isWhole ? 'warn' : count.bound === 0 ? 'skip' : 'pass';
    const pods = { pods: String(count.bound), undecidedPods: String(count.undecided) };
    return [resultOf(id, outcome, `applies to ${count.bound} pods; ${message}`, pods)];
  });
  if (shown.length < counts.length) {
    const left = counts.length - shown.length;
    results.push(resultOf('and-more', 'skip', `${left} more policies apply and are not listed`, {}));
  }
  const summary: Record<ReportOutcome, number> = { pass: 0, fail: 0, warn: 0, error: 0, skip: 0 };
  for (const { result } of results) summary[result] += 1;
  return {
    metadata: { name: reportName, namespace, labels: { ...ownLabels } },
    source: 'd4c-gate',
    scope: { apiVersion: 'v1', kind: 'Namespace', name: namespace },
    summary,
    results,
  };
}

function resultOf(
  policy: string,
  result: ReportOutcome,
  message: string,
  properties: Record<string, string>,
): NonNullable<Report['results']>[number] {
  return { source: 'd4c-gate', policy, category: 'container policies', result, message, properties };
}
