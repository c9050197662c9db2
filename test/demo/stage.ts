/** What both halves of the demo speak and start with. */

import { join } from 'node:path';
import { startDaemon } from '../support/daemon.ts';

export const root = join(import.meta.dirname, '..', '..');

const [bold, plain] = process.stdout.isTTY ? ['\u001b[1m', '\u001b[0m'] : ['', ''];

let isStopping = false;

/** From now on the next step of the demo fails instead of beginning. */
export function stopSteps(): void {
  isStopping = true;
}

function beginStep(): void {
  if (isStopping) throw new Error('stopped');
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function title(line: string): void {
  beginStep();
  say(`\n${bold}${line}${plain}`);
}

/** Shows what a person would have typed. */
export function typed(line: string): void {
  beginStep();
  say(`  $ ${line}`);
}

/** Starts `d4c-gate ARGS` and waits for the line that matches `ready`. `undo` learns how to end it. */
export async function start(args: string[], ready: RegExp, undo: (() => Promise<unknown>)[]): Promise<void> {
  typed(`d4c-gate ${args.join(' ')}`);
  const daemon = await startDaemon(process.execPath, [join(root, 'src/main.ts'), ...args], ready);
  undo.push(daemon.stop);
}
