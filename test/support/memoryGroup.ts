/** A control group for tests, in which processes have no more memory together than they are given. */

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './programs.ts';

/** How each version of control groups calls what is needed of it, and where it is. */
const versions = [
  {
    folder: '/sys/fs/cgroup/memory',
    limits: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes'],
    kills: 'memory.oom_control',
  },
  { folder: '/sys/fs/cgroup', limits: ['memory.max'], noSwap: 'memory.swap.max', kills: 'memory.events' },
] as const;

const isThere = (file: string, word: string) => existsSync(file) && readFileSync(file, 'utf8').includes(word);
const version = versions.find(
  ({ folder, kills }) =>
    isThere(join(folder, kills), 'oom_kill ') || isThere(join(folder, 'cgroup.subtree_control'), 'memory'),
);

/** Why there is no such group here, or `undefined`. */
export function memoryGroupRequirements(): string | undefined {
  return version === undefined ? 'needs the memory controller of control groups' : undefined;
}

export interface MemoryGroup {
  /** What the process has already does not count, only what it takes from now on. */
  add(pid: number): Promise<void>;
  /** How many processes of it the kernel has ended, since there was no memory. */
  kills(): Promise<number>;
  /** Once its processes have left it or ended. */
  remove(): Promise<void>;
}

let count = 0;

export async function memoryGroup(bytes: number): Promise<MemoryGroup> {
  if (version === undefined) throw new Error('no memory controller');
  const { folder, limits, kills } = version;
  const own = join(folder, `d4c-gate-test-memory-${process.pid}-${++count}`);
  await mkdir(own);
  for (const limit of limits) {
    if (existsSync(join(own, limit))) await writeFile(join(own, limit), String(bytes));
  }
  if ('noSwap' in version) await writeFile(join(own, version.noSwap), '0');
  const move = (to: string, pid: number) => writeFile(join(to, 'cgroup.procs'), String(pid));
  return {
    add: (pid) => move(own, pid),
    async kills() {
      const text = await readFile(join(own, kills), 'utf8');
      return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
    },
    async remove() {
      const left = (await readFile(join(own, 'cgroup.procs'), 'utf8')).trim().split('\n').filter(Boolean);
      for (const pid of left) await move(folder, Number(pid)).catch(() => undefined);
      await eventually('the group is removed', () =>
        rmdir(own).then(
          () => true,
          () => false,
        ),
      );
    },
  };
}
