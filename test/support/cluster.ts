/**
 * A real API server for tests: the cluster that `KUBECONFIG` names, or a control plane of its own (etcd, API server,
 * controllers, scheduler) from the kit beside this repository, if there is one.
 *
 * Owns the processes and the folder of the control plane it started or took; `close` gives both back, also when the test
 * process ends without calling it. Every program has a time limit.
 */

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, openCluster } from '../../src/kubernetes/client.ts';
import {
  endControlPlane,
  kit,
  poolVariable,
  startControlPlane,
  type TakenControlPlane,
  takeControlPlane,
} from './controlPlane.ts';
import { eventually, type Ran, type RunOptions, run } from './programs.ts';

const given = process.env.KUBECONFIG;

type Component = 'etcd' | 'kube-apiserver' | 'kube-controller-manager' | 'kube-scheduler';

export interface TestCluster {
  readonly kubeconfig: string;
  readonly client: Cluster;
  /** Runs kubectl to its end, whatever its exit code is. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** SIGKILL is an outage, SIGSTOP a hang. Only for a control plane of our own. */
  signal(component: Component, signal: NodeJS.Signals): void;
  /** Starts a component again that was killed, with the same arguments, and waits until the API server is ready. */
  restart(component: Component): Promise<void>;
  close(): Promise<void>;
}

let programs: string | undefined;

/**
 * Why no cluster can be had here, or `undefined` when one can. Give it to `skip`.
 * @param options `breakable`: also says no for a cluster that is not ours to break or to empty
 */
export function clusterRequirements(options: { readonly breakable?: boolean } = {}): string | undefined {
  if (given !== undefined && given !== '') {
    return options.breakable === true
      ? 'breaks the cluster or empties it of d4c-gate, so not the one of `KUBECONFIG`'
      : undefined;
  }
  if (!existsSync(join(kit, 'up'))) return 'needs a cluster: set `KUBECONFIG`';
  if (process.getuid?.() !== 0) return 'needs root to start a control plane, or `KUBECONFIG`';
  if (programs === undefined) {
    // `timeout` ends the whole group: where the programs are missing, the kit begins to build them.
    const { stdout } = spawnSync('timeout', ['20', join(kit, 'programs')], { encoding: 'utf8' });
    programs = stdout.trim();
  }
  return programs === ''
    ? 'the programs of ../shared/kube are not built: run its `programs` once'
    : undefined;
}

/**
 * Takes about 10 seconds when it starts a control plane, and none when `npm test` has one ready.
 * @param options `shared`: leaves the cluster as it was, but for objects of names that no other file has, and can live with
 * such ones of others, so that the next file of this sort may have the same control plane
 */
export async function startCluster(options: { readonly shared?: boolean } = {}): Promise<TestCluster> {
  const unable = clusterRequirements();
  if (unable !== undefined) throw new Error(unable);
  if (given !== undefined && given !== '') return useCluster(given);

  const { folder, giveBack } = await controlPlane(options.shared === true);
  const ended = () => process.exit(1);
  process.once('exit', giveBack).once('SIGTERM', ended).once('SIGINT', ended);

  const pidOf = (component: Component): number => {
    const lines = readFileSync(join(folder, 'pids'), 'utf8').trim().split('\n');
    const line = lines.findLast((text) => text.startsWith(`${component} `));
    if (line === undefined) throw new Error(`the control plane has no ${component}`);
    return Number(line.split(' ')[1]);
  };
  const argvOf = new Map<Component, string[]>();
  const running = await useCluster(join(folder, 'kubeconfig'));
  return {
    ...running,
    signal(component, signal) {
      const pid = pidOf(component);
      argvOf.set(component, readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1));
      process.kill(pid, signal);
    },
    async restart(component) {
      const [program = '', ...args] = argvOf.get(component) ?? [];
      const output = openSync(join(folder, 'log', `${component}.log`), 'a');
      const child = spawn(program, args, { cwd: folder, detached: true, stdio: ['ignore', output, output] });
      child.unref();
      await appendFile(join(folder, 'pids'), `${component} ${child.pid}\n`);
      await eventually(
        'the API server is ready again',
        async () => (await running.kubectl(['get', '--raw', '/readyz'], { limitMs: 3_000 })).exitCode === 0,
        60_000,
      );
    },
    async close() {
      await running.close();
      process.off('exit', giveBack).off('SIGTERM', ended).off('SIGINT', ended);
      giveBack();
    },
  };
}

/** One of the pool, where `npm test` keeps one, or one of our own. */
async function controlPlane(isShared: boolean): Promise<TakenControlPlane> {
  const pool = process.env[poolVariable] ?? '';
  const taken = pool === '' ? undefined : await takeControlPlane(pool, isShared);
  if (taken !== undefined) return taken;
  const folder = await startControlPlane();
  return { folder, giveBack: () => endControlPlane(folder) };
}

async function useCluster(kubeconfig: string): Promise<TestCluster> {
  const client = await openCluster({ kubeconfig });
  const kubectl = programs === undefined ? 'kubectl' : join(programs, 'kubectl');
  const notOurs = () => {
    throw new Error('the cluster of `KUBECONFIG` is not ours to break');
  };
  return {
    kubeconfig,
    client,
    kubectl: (args, options) =>
      run(kubectl, ['--kubeconfig', kubeconfig, '--request-timeout=15s', ...args], options),
    signal: notOurs,
    restart: notOurs,
    close: async () => client.close(),
  };
}
