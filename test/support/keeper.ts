/** The keeper of a test: where it listens, and its end for certain. */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, must } from './programs.ts';

export interface TestKeeper {
  readonly socket: string;
  /** For the agent: to start it, unless it is there. */
  readonly flags: readonly string[];
  pid(): Promise<number>;
  isAlive(): Promise<boolean>;
  /** Ends it, if there is one, and waits until it has ended. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

/** Whether the process is a keeper that has not ended. */
export async function isKeeperAlive(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return state.includes('(d4c-gate-keeper') && !/\) Z /.test(state);
}

/** The keepers that a process has started. */
export async function keepersOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const children = await Promise.all(
    threads.map((tid) => readFile(`/proc/${pid}/task/${tid}/children`, 'utf8').catch(() => '')),
  );
  return children.join(' ').split(' ').filter(Boolean).map(Number);
}

export function keeperIn(folder: string): TestKeeper {
  const socket = join(folder, 'keeper.sock');
  const pid = async (): Promise<number> => Number(await readFile(`${socket}.lock`, 'utf8').catch(() => '0'));
  const isAlive = async (): Promise<boolean> => isKeeperAlive(await pid());
  return {
    socket,
    flags: ['--keeper', 'start', '--keeper-socket', socket],
    pid,
    isAlive,
    async end(signal = 'SIGKILL') {
      if (!(await isAlive())) return;
      process.kill(await pid(), signal);
      await eventually('the keeper has ended', async () => !(await isAlive()));
    },
  };
}

/** Leaves the process no further descriptor (by `prlimit`), until what is given is called. */
export async function takeDescriptors(pid: number): Promise<() => Promise<unknown>> {
  const limit = (most: string) => must('prlimit', ['--pid', String(pid), `--nofile=${most}`]);
  const files = /^Max open files +(\d+) +(\d+)/m.exec(await readFile(`/proc/${pid}/limits`, 'utf8'));
  const taken = new Set((await readdir(`/proc/${pid}/fd`)).map(Number));
  const free = Array.from(taken, (one) => one + 1).filter((next) => !taken.has(next));
  await limit(`${Math.min(...free)}:${files?.[2]}`);
  return () => limit(`${files?.[1]}:${files?.[2]}`);
}

export interface Holdings {
  /** Descriptors, but for the few of `/proc/PID` that each reader keeps for the tasks it saw last. */
  readonly files: number;
  readonly threads: number;
  /** Filesystem, mount and inode marks of all its groups. */
  readonly marks: number;
}

/** What a process holds of the kernel's. */
export async function holdings(pid: number): Promise<Holdings> {
  const names = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
  let marks = 0;
  for (const [index, link] of links.entries()) {
    if (link !== 'anon_inode:[fanotify]') continue;
    const info = await readFile(`/proc/${pid}/fdinfo/${names[index]}`, 'utf8').catch(() => '');
    marks += info.split('\n').filter((line) => /^fanotify (sdev|mnt_id|ino):/.test(line)).length;
  }
  return {
    files: links.filter((link) => link !== '' && !/^\/proc\/\d+\/(syscall|stat)$/.test(link)).length,
    threads: (await readdir(`/proc/${pid}/task`)).length,
    marks,
  };
}
