/** A task that keeps a thread of the keeper, for as long as a test wants it to (`detainer.c`). */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { eventually, must } from './programs.ts';

export interface Detainer {
  readonly hasDetained: () => boolean;
  readonly letGo: () => Promise<void>;
}

/** Has a reader of the keeper's stop when it is about to read whose an event is. Ends with the test. */
export function detain(t: TestContext, folder: string, keeper: number): Promise<Detainer> {
  return watch(t, folder, [String(keeper), 'd4c-reader', '/cgroup']);
}

/** Has what a reader of the keeper's starts stop when it runs its program. Ends with the test. */
export function detainChild(t: TestContext, folder: string, keeper: number): Promise<Detainer> {
  return watch(t, folder, [String(keeper), 'd4c-reader', 'child']);
}

/**
 * Has such a thread of the keeper's find no descriptor left whenever it opens a file whose path ends so; `child`: whenever it wants
 * one of what it has started, which is detained. Ends with the test.
 */
export function leaveNoDescriptor(
  t: TestContext,
  folder: string,
  keeper: number,
  { thread, suffix }: { thread: string; suffix: string },
): Promise<Detainer> {
  return watch(t, folder, [String(keeper), thread, suffix, 'fails']);
}

async function watch(t: TestContext, folder: string, args: string[]): Promise<Detainer> {
  const program = join(folder, 'detainer');
  const source = join(import.meta.dirname, 'detainer.c');
  await must('gcc', ['-O1', '-Wall', '-o', program, source], { limitMs: 60_000 });
  const detainer = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(detainer, 'exit');
  let said = '';
  detainer.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const letGo = async (): Promise<void> => {
    detainer.stdin.end();
    await ended;
  };
  t.after(letGo);
  await eventually('it watches', () => said.includes('watching'));
  return { letGo, hasDetained: () => said.includes('detained') };
}
