/** How long one process of a container waits for one operation, under each policy and under each gate. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, ContainerHost } from '../../test/support/containers.ts';
import { type Daemon, startDaemon } from '../../test/support/daemon.ts';
import { startGate } from '../d4c-gate.ts';
import { startFapolicyd } from '../fapolicyd.ts';
import { type PolicyName, policies } from './policies.ts';
import { type GateName, type LatencyRow, percentile, rounded } from './rows.ts';

/** What is timed, as what call of the probe, and how often in one round. */
const operations = {
  open: { title: 'open+close', call: 'open', count: 20_000, path: '/etc/passwd' },
  write: { title: 'open for writing+close', call: 'write', count: 20_000, path: '/var/log/data' },
  exec: { title: 'fork+exec', call: 'exec', count: 5_000, path: '/bin/nothing' },
  dynamic: {
    title: 'fork+exec of a dynamic program',
    call: 'exec',
    count: 2_000,
    path: '/bin/dynamic',
  },
} as const;
type OperationName = keyof typeof operations;
const every = Object.keys(operations) as OperationName[];

/** What is worth timing under each policy. */
const timed: Record<PolicyName, readonly OperationName[]> = {
  'exec-only policy': ['open', 'exec'],
  'drift policy': ['open', 'write', 'exec', 'dynamic'],
  'drift policy, exec logged with arguments': ['exec'],
  'FIM policy': ['open', 'write'],
};

export interface Latencies {
  /** Times everything once. */
  round(): Promise<void>;
  rows(): LatencyRow[];
}

type Start = (container: Container) => Promise<Daemon>;

/** `folder` is for what the gates need; it has the program `listener`. */
export function latencies(host: ContainerHost, folder: string, withFapolicyd: boolean): Latencies {
  /** All latencies in nanoseconds by operation and gate, of all rounds. */
  const samples = new Map<string, number[]>();

  /**
   * Times operations in a fresh container. d4c-gate is started `before` it, as on a node; fapolicyd `after` it, since it
   * looks for filesystems to watch only when it starts and when its own mount table changes.
   */
  async function measure(
    names: readonly OperationName[],
    key: string,
    start: { before?: () => Promise<Daemon>; after?: Start } = {},
  ) {
    const undo: (() => Promise<unknown>)[] = [];
    try {
      if (start.before !== undefined) undo.push((await start.before()).stop);
      const container = await host.startRunc();
      undo.push(container.remove);
      if (start.after !== undefined) undo.push((await start.after(container)).stop);
      for (const name of names) {
        const { call, path, count } = operations[name];
        const { exitCode, stdout, stderr } = await container.exec('/bin/probe', call, path, String(count));
        if (exitCode !== 0) throw new Error(`probe ${name} ended with ${exitCode}: ${stderr}`);
        // The first tenth warms the caches.
        const taken = stdout
          .trim()
          .split('\n')
          .map(Number)
          .slice(count / 10);
        samples.set(`${name}/${key}`, [...(samples.get(`${name}/${key}`) ?? []), ...taken]);
      }
    } finally {
      for (const step of undo.reverse()) await step();
      await rm(join(folder, 'documents'), { recursive: true, force: true });
    }
  }

  const row = (title: string, gate: GateName, key: string): LatencyRow[] => {
    const sorted = samples.get(key)?.sort((a, b) => a - b);
    if (sorted === undefined) return [];
    const [median, p99] = [0.5, 0.99].map((share) => rounded(percentile(sorted, share) / 1_000));
    return [{ case: title, gate, medianUs: median ?? Number.NaN, p99Us: p99 ?? Number.NaN }];
  };

  return {
    async round() {
      await measure(every, 'none');
      for (const [policy, names] of Object.entries(timed) as [PolicyName, OperationName[]][]) {
        await measure(names, policy, { before: () => startGate(folder, [policies[policy]]) });
      }
      const listen: Start = ({ pid }) =>
        startDaemon(join(folder, 'listener'), [`/proc/${pid}/root`], /listening/);
      await measure(every, 'listener', { after: listen });
      if (withFapolicyd) await measure(every, 'fapolicyd', { after: () => startFapolicyd(folder) });
    },
    rows: () =>
      Object.entries(timed).flatMap(([policy, names]) =>
        names.flatMap((name) => {
          const title = `${operations[name].title}, ${policy}`;
          return [
            ...row(title, 'none', `${name}/none`),
            ...row(title, 'd4c-gate', `${name}/${policy}`),
            ...row(title, 'listener', `${name}/listener`),
            ...row(title, 'fapolicyd', `${name}/fapolicyd`),
          ];
        }),
      ),
  };
}
