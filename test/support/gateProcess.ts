/**
 * A gate in a process of its own, which `testGate` starts under a hard time limit: a listener that hangs must not
 * hang the test. Takes commands from its parent and sends it everything the gate reports.
 */

import { once } from 'node:events';
import { basename, dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Gate, type GateOptions, openGate } from '../../src/native/gate.ts';
import type { KeeperPlace } from '../../src/native/keeperProgram.ts';

export interface GateSetUp {
  readonly options: Partial<GateOptions>;
  /** By container ID: the table to publish, in base64, or `null`. Others are published as `null`. */
  readonly tables: Readonly<Record<string, string | null>>;
  /** When to publish: at once, at the first exec, or not before a command says so (default: at the first exec). */
  readonly publish: 'found' | 'firstExec' | 'never';
  /** Which keeper (default: one of its own, which ends with it). */
  readonly place?: KeeperPlace;
}

export type Command =
  | { readonly type: 'setUp'; readonly setUp: GateSetUp }
  | {
      readonly type: 'publish';
      readonly key: number;
      readonly table: string | null;
      readonly generation: number;
    }
  | { readonly type: 'adopt'; readonly key: number; readonly pid: number }
  | { readonly type: 'stats' }
  /** Keeps JavaScript busy. */
  | { readonly type: 'stall'; readonly ms: number }
  /** Replaces the tables of a container in turn, as fast as it can. */
  | { readonly type: 'swap'; readonly key: number; readonly tables: readonly string[]; readonly ms: number }
  /** Closes the gate, and opens one like it. */
  | { readonly type: 'reopen' }
  /** Closes the gate while tables are being published. */
  | { readonly type: 'publishAndClose'; readonly key: number; readonly table: string }
  /** Ends the process without closing the gate. */
  | { readonly type: 'exit' }
  /** Opens a gate in a thread of its own, and ends that. */
  | { readonly type: 'thread'; readonly end: 'close' | 'terminate' | 'none' }
  | { readonly type: 'close' }
  | { readonly type: 'closeTwice' };

export type Message = { readonly type: string; readonly value: unknown };

const send = (type: string, value: unknown): void => {
  process.send?.({ type, value } satisfies Message);
};
const bytesOf = (table: string | null): Uint8Array | null =>
  table === null ? null : new Uint8Array(Buffer.from(table, 'base64'));

async function open({ options, tables, publish, place }: GateSetUp) {
  const ids = new Map<number, string>();
  let generation = 0;
  const publishTable = (key: number): void => {
    const id = ids.get(key) ?? '';
    gate.publish(key, bytesOf(tables[id] ?? null), ++generation, `for ${id}`);
  };
  const callbacks: GateOptions = {
    mode: 'enforce',
    holdMs: 5_000,
    onUnknown: 'allow',
    ...options,
    onContainer(found) {
      ids.set(found.key, basename(dirname(found.mountPoint)));
      send('container', { ...found, id: ids.get(found.key) });
      if (publish === 'found') publishTable(found.key);
    },
    onFirstExec(exec) {
      send('firstExec', { ...exec, id: ids.get(exec.key) });
      if (publish === 'firstExec') publishTable(exec.key);
    },
    onContainerGone: (key) => send('gone', key),
    onEvents: (events) => {
      for (const event of events) send('event', event);
    },
    onFailure: (failure, count, detail) => send('failure', { failure, count, detail }),
  };
  const gate = await openGate(callbacks, place);
  return gate;
}

let gate: Gate | undefined;
let setUpOfGate: GateSetUp | undefined;

const commands: { [T in Command['type']]: (command: Extract<Command, { type: T }>) => unknown } = {
  async setUp({ setUp }) {
    try {
      setUpOfGate = setUp;
      gate = await open(setUp);
      return true;
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      return { code, message };
    }
  },
  publish: ({ key, table, generation }) => gate?.publish(key, bytesOf(table), generation),
  adopt: ({ key, pid }) => gate?.adopt(key, pid),
  stats: () => gate?.stats(),
  stall({ ms }) {
    const end = performance.now() + ms;
    while (performance.now() < end);
  },
  async swap({ key, tables, ms }) {
    const end = performance.now() + ms;
    let swaps = 0;
    while (performance.now() < end) {
      gate?.publish(key, bytesOf(tables[swaps % tables.length] ?? null), ++swaps);
      if (swaps % 100 === 0) await gate?.stats();
    }
    return swaps;
  },
  async reopen() {
    await gate?.close();
    if (setUpOfGate !== undefined) gate = await open(setUpOfGate);
  },
  async publishAndClose({ key, table }) {
    for (let generation = 1; generation <= 200; generation++) gate?.publish(key, bytesOf(table), generation);
    const closing = gate?.close();
    for (let generation = 201; generation <= 400; generation++)
      gate?.publish(key, bytesOf(table), generation);
    await closing;
  },
  exit: () => process.exit(0),
  async thread({ end }) {
    const worker = new Worker(new URL('./gateWorker.ts', import.meta.url));
    await once(worker, 'message');
    if (end === 'none') return;
    const ended = once(worker, 'exit');
    if (end === 'close') worker.postMessage('close');
    else await worker.terminate();
    await ended;
  },
  close: () => gate?.close(),
  async closeTwice() {
    await gate?.close();
    await gate?.close();
    return await gate?.stats();
  },
};

process.on('message', async (command: Command) => {
  const answer = await (commands[command.type] as (command: Command) => unknown)(command);
  const isLast = command.type === 'close';
  // Disconnecting drops what has not been sent.
  process.send?.({ type: 'answer', value: answer }, () => isLast && process.disconnect());
});
