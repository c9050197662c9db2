/** Stops single threads of a gate, as a busy machine does that has other things to run (`stopper.c`). */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './programs.ts';

export interface Stopped {
  /** Resolves when the thread goes on again. */
  readonly goesOn: Promise<void>;
  /** Lets it go on now. */
  readonly letGo: () => Promise<void>;
}

export interface Stopper {
  /** Stops the thread of this name in a process for `ms`. Resolves when it stands still. */
  stop(pid: number, thread: string, ms: number): Promise<Stopped>;
}

/** Why no thread of another process can be stopped here, or `undefined`. */
export async function stopperRequirements(): Promise<string | undefined> {
  const scope = await readFile('/proc/sys/kernel/yama/ptrace_scope', 'utf8').catch(() => '0');
  return scope.trim() === '3' ? 'needs ptrace (kernel.yama.ptrace_scope is 3)' : undefined;
}

/** Builds it in `folder`. */
export async function buildStopper(folder: string): Promise<Stopper> {
  const program = join(folder, 'stopper');
  const source = join(import.meta.dirname, 'stopper.c');
  await must('gcc', ['-O1', '-Wall', '-o', program, source], { limitMs: 60_000 });
  return {
    async stop(pid, thread, ms) {
      const tid = await threadOf(pid, thread);
      const stopper = spawn(program, [tid, String(ms)], { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(stopper, 'exit').then(([code, signal]) => {
        if (code !== 0 && signal !== 'SIGTERM') throw new Error(`the stopper ended with ${code}`);
      });
      await Promise.race([once(stopper.stdout, 'data'), ended]);
      const letGo = (): Promise<void> => {
        stopper.kill();
        return ended;
      };
      return { goesOn: ended, letGo };
    },
  };
}

async function threadOf(pid: number, name: string): Promise<string> {
  for (const tid of await readdir(`/proc/${pid}/task`)) {
    const comm = await readFile(`/proc/${pid}/task/${tid}/comm`, 'utf8');
    if (comm.trim() === name) return tid;
  }
  throw new Error(`process ${pid} has no thread \`${name}\``);
}
