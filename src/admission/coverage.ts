/** Which policies cover the pods that a namespace has: looked at for a bounded time, and honest about what was not. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Generation } from '../sources/directory.ts';
import { pacer } from '../sources/slices.ts';
import { bindSubject, type Cluster } from './annotations.ts';
import type { Live } from './live.ts';
import { podNamesOf, readPod } from './pod.ts';
import { listed } from './warnings.ts';

export interface Coverage {
  /** Pods that were looked at. */
  readonly looked: number;
  /** Those to which a policy applies. */
  readonly covered: number;
  /** Those to which no policy surely applies, but one may. */
  readonly undecided: number;
  /** Pods by the ID of the policy that applies. */
  readonly byPolicy: ReadonlyMap<string, number>;
  /** Why not every pod was looked at; `undefined` when every one was. */
  readonly cut: string | undefined;
}

export interface CoverageLimits {
  readonly maxPods: number;
  readonly deadlineMs: number;
}

const defaultLimits: CoverageLimits = { maxPods: 3_000, deadlineMs: 1_000 };
const maxPolicies = 10;

/** Never rejects: pods that cannot be read are said to be not looked at. */
export async function coverageOf(
  namespace: string,
  { generation, cluster, live }: { generation: Generation; cluster: Cluster; live: Live | undefined },
  { maxPods, deadlineMs }: CoverageLimits = defaultLimits,
): Promise<Coverage> {
  const started = performance.now();
  const left = () => deadlineMs - (performance.now() - started);
  const byPolicy = new Map<string, number>();
  const counts = { looked: 0, covered: 0, undecided: 0 };
  const result = (cut?: string): Coverage => ({ ...counts, byPolicy, cut });
  if (live === undefined) return result('pods cannot be read here');
  if (generation.number === 0) return result('the policies have not been read yet');

  const take = (object: unknown): void => {
    const pod = readPod(object);
    counts.looked += 1;
    const [podName] = podNamesOf(pod);
    const { applies, undecided } = bindSubject(generation, { ...cluster, pod, podName, namespace });
    if (applies.length > 0) counts.covered += 1;
    else if (undecided.length > 0) counts.undecided += 1;
    for (const id of applies) byPolicy.set(id, (byPolicy.get(id) ?? 0) + 1);
  };
  const pages = live.podPages(namespace)[Symbol.asyncIterator]();
  const pause = pacer();
  try {
    for (;;) {
      const page = await before(left(), pages.next());
      if (page === undefined) return result(`${deadlineMs} milliseconds were over`);
      if (page.done) return result();
      for (const object of page.value.items) {
        if (counts.looked >= maxPods) return result(`only ${maxPods} pods are looked at`);
        if (left() <= 0) return result(`${deadlineMs} milliseconds were over`);
        take(object);
        await pause();
      }
    }
  } catch (error) {
    return result(error instanceof Error ? error.message : String(error));
  }
}

/** For example `12 of 40 pods are covered by policies`, and how many by each; policies that apply to most come first. */
export function summaryOf({ looked, covered, byPolicy, undecided, cut }: Coverage): string[] {
  if (looked === 0) return cut === undefined ? ['there are no pods yet'] : [];
  const lines = [`${covered} of ${looked} pods are covered by policies`];
  const counts = [...byPolicy].sort(([one, many], [other, more]) => more - many || (one < other ? -1 : 1));
  for (const [id, count] of counts.slice(0, maxPolicies)) {
    lines.push(`policy ${listed([id])} applies to ${count} of ${looked} pods`);
  }
  const more = counts.length - maxPolicies;
  if (more > 0) lines.push(`${more} more policies apply to some of them`);
  if (undecided > 0)
    lines.push(`for ${undecided} of ${looked} pods something is not known, so a policy may apply`);
  return lines;
}

/** What the promise gives, or `undefined` when it takes longer. */
async function before<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  const ended = new AbortController();
  // Nobody looks at a page that comes too late, also when it fails.
  promise.catch(() => undefined);
  try {
    return await Promise.race([promise, sleep(Math.max(ms, 0), undefined, { signal: ended.signal })]);
  } finally {
    ended.abort();
  }
}
