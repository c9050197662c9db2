/** What both halves of the demo speak and start with. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const root = join(import.meta.dirname, '..', '..');

const [bold, plain] = process.stdout.isTTY ? ['\u001b[1m', '\u001b[0m'] : ['', ''];

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function title(line: string): void {
  say(`\n${bold}${line}${plain}`);
}

/** Shows what a person would have typed. */
export function typed(line: string): void {
  say(`  $ ${line}`);
}

/**
 * Starts `d4c-gate ARGS` and waits, at most 20 seconds, for the line of its log or output that matches `ready`.
 * `undo` learns how to end it.
 */
export async function start(
  args: string[],
  ready: RegExp,
  undo: (() => Promise<unknown>)[],
): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
  undo.push(async () => {
    child.kill('SIGTERM');
    const limit = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(limit);
  });
  const lines: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const limit = setTimeout(
      () => reject(new Error(`\`d4c-gate ${args[0]}\` is not ready after 20 s`)),
      20_000,
    );
    const settle = (then: () => void) => {
      clearTimeout(limit);
      then();
    };
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        lines.push(line);
        if (ready.test(line)) settle(resolve);
      });
    }
    child.once('exit', () => settle(() => reject(new Error(lines.slice(-5).join('\n')))));
  });
  return child;
}
