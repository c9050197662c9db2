/** How busy the machine is, and what goes before what on it. */

import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { TestContext } from 'node:test';

/** Scheduling classes as `/proc/PID/stat` numbers them. */
export const SchedulingClass = { ordinary: '0', first: '2', last: '5' } as const;

/** Keeps every processor busy until the test ends. */
export function makeBusy(t: TestContext): void {
  for (let at = 0; at < availableParallelism(); at++) {
    const loop = spawn('timeout', ['-s', 'KILL', '60', 'sh', '-c', 'while :; do :; done'], {
      detached: true,
    });
    t.after(() => loop.pid !== undefined && process.kill(-loop.pid, 'SIGKILL'));
  }
}

/** How a thread is scheduled: its class, and on which processors it may run, as `/proc/PID/status` lists them. */
export interface Scheduled {
  readonly class: string;
  readonly processors: string;
}

/** Each thread of this name. */
export async function scheduledOf(pid: number, name: string): Promise<Scheduled[]> {
  const threads: Scheduled[] = [];
  for (const tid of await readdir(`/proc/${pid}/task`)) {
    const [stat, status] = await Promise.all(
      ['stat', 'status'].map((file) => readFile(`/proc/${pid}/task/${tid}/${file}`, 'utf8').catch(() => '')),
    );
    if (!stat?.includes(`(${name})`)) continue;
    // After the name, whose end is the last bracket: the 41st field of all.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [, processors = ''] = status?.match(/^Cpus_allowed_list:\t(.*)$/m) ?? [];
    threads.push({ class: fields[38] ?? '', processors });
  }
  return threads;
}

/** The class of each thread of this name. */
export async function classesOf(pid: number, name: string): Promise<string[]> {
  return (await scheduledOf(pid, name)).map((thread) => thread.class);
}
