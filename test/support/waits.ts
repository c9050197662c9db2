/** In what the kernel has others wait. */

import { readdir, readFile } from 'node:fs/promises';

/** The process whose command line begins so. */
export async function pidOf(line: string): Promise<number | undefined> {
  for (const name of await readdir('/proc')) {
    const found = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (found.replaceAll('\0', ' ').startsWith(line)) return Number(name);
  }
  return undefined;
}

/** Of the process; empty when there is none. */
export const wchanOf = (pid: number | undefined): Promise<string> =>
  readFile(`/proc/${pid}/wchan`, 'utf8').catch(() => '');

/** Of each thread of the process. */
export async function wchansOf(pid: number): Promise<string[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  return Promise.all(threads.map((tid) => readFile(`/proc/${pid}/task/${tid}/wchan`, 'utf8')));
}
