/** Runs real programs for tests: never without a time limit, and never through a shell of the host. */

import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a program left behind. */
export interface Ran {
  /** `null` when a signal ended it, also when the time limit did. */
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** After this many milliseconds the program is killed (default: 20000). */
  readonly limitMs?: number;
  readonly stdin?: string;
  readonly cwd?: string;
}

/** Runs a program to its end, whatever its exit code is. Rejects only when it cannot be started. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: options.cwd, stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdin.on('error', () => undefined).end(options.stdin ?? '');
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      // A grandchild that keeps the pipes open must not keep the test waiting.
      child.stdout.destroy();
      child.stderr.destroy();
    }, options.limitMs ?? 20_000);
    child.once('error', (error) => {
      clearTimeout(limit);
      reject(error);
    });
    child.once('close', (exitCode, signal) => {
      clearTimeout(limit);
      resolve({ exitCode, signal, stdout, stderr });
    });
  });
}

/** As `run`, but an exit code other than 0 is an error that says what the program printed. */
export async function must(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const ran = await run(command, args, options);
  if (ran.exitCode === 0) return ran;
  const end = ran.exitCode === null ? `was ended by ${ran.signal}` : `exited with ${ran.exitCode}`;
  throw new Error(`\`${command} ${args.join(' ')}\` ${end}: ${ran.stderr.trim() || ran.stdout.trim()}`);
}

/** Whether a program of this name is on the PATH. */
export function isInstalled(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Polls until `condition` gives something other than `undefined` or `false`. Rejects after `limitMs`. */
export async function eventually<T>(
  what: string,
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 5_000,
): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > end) throw new Error(`did not happen within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
