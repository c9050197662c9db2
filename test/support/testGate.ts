/** A gate for tests, in a process of its own under a hard time limit, and tables for it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  FirstExec,
  FoundContainer,
  GateFailure,
  GateMode,
  GateStats,
  KernelEvent,
} from '../../src/native/gate.ts';
import { flatten } from '../../src/node/flatten.ts';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import { readPolicy } from '../../src/policy/read.ts';
import type { Workload } from '../../src/policy/types.ts';
import type { Command, GateSetUp, Message } from './gateProcess.ts';
import { eventually } from './programs.ts';

const program = join(import.meta.dirname, 'gateProcess.ts');
const limitSeconds = '90';

/** The table of one policy, in base64. The policy is read as an Elastic user may write it. */
export function tableOf(policy: object, mode: GateMode = 'enforce'): string {
  const read = readPolicy(JSON.stringify(policy), { mode: 'lenient' });
  if (read.policy === undefined) throw new Error(JSON.stringify(read.faults));
  const bound = bind(compile('policy', read.policy), {} as Workload);
  return Buffer.from(flatten([bound], 'allow', mode)).toString('base64');
}

/** A table that answers these operations on these paths with the actions. */
export function fileTable(
  operation: string[],
  targetFilePath: string[],
  actions: string[],
  mode: GateMode = 'enforce',
): string {
  const selectors = [{ name: 'files', operation, targetFilePath }];
  return tableOf({ file: { selectors, responses: [{ match: ['files'], actions }] } }, mode);
}

export function execTable(processExecutable: string[], actions: string[]): string {
  const selectors = [{ name: 'programs', operation: ['exec'], processExecutable }];
  return tableOf({ process: { selectors, responses: [{ match: ['programs'], actions }] } });
}

type Seen<T> = T & { readonly id: string };

export interface TestGate {
  readonly pid: number;
  readonly containers: Seen<FoundContainer>[];
  readonly firstExecs: Seen<FirstExec>[];
  readonly gone: number[];
  readonly events: KernelEvent[];
  readonly failures: { failure: GateFailure; count: number; detail: string }[];
  /** The key of the container, once it was found. */
  keyOf(id: string): Promise<number>;
  ask(command: Command): Promise<unknown>;
  stats(): Promise<GateStats>;
  /** The first event that fits, once it was reported. */
  event(fits: (event: KernelEvent) => boolean): Promise<KernelEvent>;
  /** Closes the gate and ends its process. Twice is fine. */
  close(): Promise<void>;
  /** Ends its process at once. */
  kill(): Promise<void>;
}

/** Starts a gate. Rejects with `code` and `message` when it does not open. `wrapper`: a command to run it with. */
export async function testGate(setUp: Partial<GateSetUp> = {}, wrapper: string[] = []): Promise<TestGate> {
  const command = [...wrapper, 'timeout', '-s', 'KILL', limitSeconds, process.execPath, program];
  const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = new Promise<string>((resolve) =>
    child.once('exit', (exitCode, signal) => resolve(`${signal ?? exitCode}`)),
  );
  const lists = { container: [], firstExec: [], gone: [], event: [], failure: [] } as {
    container: Seen<FoundContainer>[];
    firstExec: Seen<FirstExec>[];
    gone: number[];
    event: KernelEvent[];
    failure: TestGate['failures'];
  };
  const answers: ((value: unknown) => void)[] = [];
  child.on('message', ({ type, value }: Message) => {
    if (type === 'answer') answers.shift()?.(value);
    else (lists as unknown as Record<string, unknown[]>)[type]?.push(value);
  });
  const ask = (sent: Command): Promise<unknown> =>
    new Promise((resolve, reject) => {
      answers.push(resolve);
      void ended.then((how) => reject(new Error(`the gate's process ended: ${how}`)));
      child.send(sent, (error) => error && reject(error));
    });
  const pid = await pidOf(child, wrapper.length > 0);
  const close = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    await ask({ type: 'close' });
    await ended;
  };
  const opened = await ask({
    type: 'setUp',
    setUp: { options: {}, tables: {}, publish: 'firstExec', ...setUp },
  });
  if (opened !== true) {
    await close();
    throw Object.assign(new Error('the gate did not open'), opened);
  }
  return {
    pid,
    containers: lists.container,
    firstExecs: lists.firstExec,
    gone: lists.gone,
    events: lists.event,
    failures: lists.failure,
    keyOf: async (id) =>
      (await eventually(`${id} is found`, () => lists.container.find((found) => found.id === id))).key,
    ask,
    stats: async () => (await ask({ type: 'stats' })) as GateStats,
    event: (fits) => eventually('the event is reported', () => lists.event.find(fits)),
    close,
    async kill() {
      process.kill(pid, 'SIGKILL');
      await ended;
    },
  };
}

/** Of the gate's own process, which `timeout` started. */
async function pidOf(child: ChildProcess, isWrapped: boolean): Promise<number> {
  if (isWrapped) return child.pid ?? 0;
  const children = `/proc/${child.pid}/task/${child.pid}/children`;
  return await eventually(
    'the gate starts',
    async () => Number((await readFile(children, 'utf8')).trim()) || undefined,
  );
}
