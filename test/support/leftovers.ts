/** Clears what a test run that was killed could not give back: its containers, processes, mounts and folder. */

import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must, run } from './programs.ts';

/** Test runs name their folder and their containers by their process ID. */
export const folderPrefix = 'd4c-gate-test-';
export const containerPrefix = 'd4c-test-';

/** Touches only what carries the process ID of a run that has ended. */
export async function clearLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = /^d4c-gate-test-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const folder = join(tmpdir(), name);
    for (const process of await processesNaming(folder)) kill(process);
    for (const id of await readdir('/run/runc').catch(() => [])) {
      if (id.startsWith(`${containerPrefix}${pid}-`)) await run('runc', ['delete', '--force', id]);
    }
    const mounts = (await readFile('/proc/self/mounts', 'utf8'))
      .split('\n')
      .map((line) => line.split(' ')[1] ?? '')
      .filter((path) => path.startsWith(`${folder}/`));
    for (const mount of mounts.reverse()) await run('umount', ['--lazy', mount]);
    await removeFolder(folder);
  }
}

/** Also with paths that are longer than the kernel takes in one piece, which tests make. */
export async function removeFolder(folder: string): Promise<void> {
  await must('rm', ['-rf', folder]);
}

/** A shim's container dies with it: its first process is killed first, as its child. */
async function processesNaming(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const [commandLine = '', children = ''] = await Promise.all([
      readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => ''),
      readFile(`/proc/${name}/task/${name}/children`, 'utf8').catch(() => ''),
    ]);
    if (!commandLine.includes(`${folder}/`)) continue;
    if (commandLine.includes('containerd-shim'))
      found.push(...children.split(' ').filter(Boolean).map(Number));
    found.push(Number(name));
  }
  return found;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
