/**
 * Control planes (etcd, API server, controllers, scheduler) from the kit beside this repository: started, ended, and kept
 * ready for test files that come one after the other.
 *
 * A pool is a folder with one small file for each control plane, whose name says who answers for it: `ready-N`, the pool;
 * `taken-N`, the test process that renamed it; `shared-N`, the pool, until another file that shares takes it; `over-N`, the
 * pool, which ends it. What is in the file is the control
 * plane's folder.
 */

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './ports.ts';
import { eventually, must } from './programs.ts';

/** The folder of the kit. */
export const kit = join(import.meta.dirname, '../../../shared/kube');

/** The environment variable with the folder of the pool. */
export const poolVariable = 'D4C_GATE_TEST_POOL';

/** Gives its folder, with `kubeconfig` and `pids` in it; `begins` is called with it before. Takes about 10 seconds. */
export async function startControlPlane(begins?: (folder: string) => void): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-cluster-'));
  begins?.(folder);
  const ports = [`KUBE_PORT=${await freePort()}`, `ETCD_PORT=${await freePort()}`];
  try {
    await must('env', [...ports, join(kit, 'up'), '--control-plane', folder], { limitMs: 240_000 });
  } catch (error) {
    endControlPlane(folder);
    throw error;
  }
  return folder;
}

/** Leaves neither a process nor the folder. Nobody needs its data, so it is not given the time to end in order. */
export function endControlPlane(folder: string): void {
  const pids = join(folder, 'pids');
  const lines = existsSync(pids) ? readFileSync(pids, 'utf8').trim().split('\n') : [];
  for (const line of lines) {
    const pid = Number(line.split(' ')[1]);
    if (worksIn(pid, folder)) process.kill(pid, 'SIGKILL');
  }
  spawnSync('timeout', ['60', join(kit, 'down'), folder, '--wipe'], { stdio: 'ignore' });
  rmSync(folder, { recursive: true, force: true });
}

/** Each of its processes does; a number that is another's by now does not. */
function worksIn(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder;
  } catch {
    return false;
  }
}

export interface TakenControlPlane {
  readonly folder: string;
  giveBack(): void;
}

/**
 * Takes one of a pool, as soon as there is one; `undefined` when the pool makes no more.
 * @param isShared may have been used by another file that shares, and may be used by the next one
 */
export async function takeControlPlane(
  pool: string,
  isShared: boolean,
): Promise<TakenControlPlane | undefined> {
  const wanted = isShared ? ['shared-', 'ready-'] : ['ready-'];
  const taken = await eventually(
    'the pool has a control plane',
    () => {
      const names = readdirSync(pool);
      for (const prefix of wanted) {
        const name = names.find((each) => each.startsWith(prefix));
        if (name === undefined) continue;
        const mine = join(pool, name.replace(prefix, 'taken-'));
        try {
          renameSync(join(pool, name), mine);
          return mine;
        } catch {
          // Another file was quicker.
          return undefined;
        }
      }
      return names.includes('closed') ? '' : undefined;
    },
    240_000,
  );
  if (taken === '') return undefined;
  const given = taken.replace('taken-', isShared ? 'shared-' : 'over-');
  return { folder: readFileSync(taken, 'utf8'), giveBack: () => renameSync(taken, given) };
}

export interface ControlPlanePool {
  /** For the tests' environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Ends what it has started, whoever has it. */
  close(): Promise<void>;
}

/** One is ready while one is used, `count` in all. Needs the event loop of its process, with which all of them end. */
export async function openPool(count: number): Promise<ControlPlanePool> {
  const pool = await mkdtemp(join(tmpdir(), 'd4c-pool-'));
  const closing = new AbortController();
  const folders = new Map<string, string>();

  async function keepReady(): Promise<void> {
    for (let number = 1; number <= count && !closing.signal.aborted; number += 1) {
      const folder = await startControlPlane((begun) => folders.set(`over-${number}`, begun));
      writeFileSync(join(pool, `new-${number}`), folder);
      renameSync(join(pool, `new-${number}`), join(pool, `ready-${number}`));
      while (!closing.signal.aborted && existsSync(join(pool, `ready-${number}`))) {
        endGivenBack();
        await sleep(100);
      }
    }
  }

  function endGivenBack(): void {
    for (const name of readdirSync(pool).filter((each) => folders.has(each))) {
      endControlPlane(folders.get(name) ?? '');
      folders.delete(name);
    }
  }

  function endAll(): void {
    for (const folder of folders.values()) endControlPlane(folder);
    rmSync(pool, { recursive: true, force: true });
  }
  const ended = () => process.exit(1);
  process.once('exit', endAll).once('SIGTERM', ended).once('SIGINT', ended);

  const done = keepReady()
    .catch((error: unknown) => process.stderr.write(`no more control planes kept ready: ${error}\n`))
    .then(() => writeFileSync(join(pool, 'closed'), ''));
  return {
    environment: { [poolVariable]: pool },
    async close() {
      closing.abort();
      await done;
      process.off('exit', endAll).off('SIGTERM', ended).off('SIGINT', ended);
      endAll();
    },
  };
}
