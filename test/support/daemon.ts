/** A long-running program as a child process: ready when it says so, and ended for certain. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Daemon {
  readonly pid: number;
  /** Everything it printed so far, both streams, a line each. */
  readonly lines: readonly string[];
  /** Asks it to end, and after 10 seconds insists. Gives its exit code, `null` after a signal. Twice is fine. */
  stop(): Promise<number | null>;
}

/**
 * Starts a program and waits until a line of its output matches `ready`. Rejects with what it printed when it ends
 * before, or is not ready within `readyMs` milliseconds (default: 20 seconds).
 */
export async function startDaemon(
  program: string,
  args: readonly string[],
  ready: RegExp,
  readyMs = 20_000,
): Promise<Daemon> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'exit');
  const lines: string[] = [];
  const stop = async (): Promise<number | null> => {
    child.kill('SIGTERM');
    const limit = setTimeout(() => child.kill('SIGKILL'), 10_000);
    const [exitCode] = await ended;
    clearTimeout(limit);
    return exitCode;
  };
  await new Promise<void>((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new Error(`\`${program} ${args.join(' ')}\` ${why}:\n${lines.join('\n')}`));
    const limit = setTimeout(() => fail(`is not ready after ${readyMs} ms`), readyMs);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        if (!ready.test(line)) return;
        clearTimeout(limit);
        resolve();
      });
    }
    child.once('exit', () => {
      clearTimeout(limit);
      fail('ended');
    });
    child.once('error', reject);
  }).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { pid: child.pid ?? 0, lines, stop };
}
