/**
 * The gate as the agent sees it: a client of the keeper, in JavaScript alone.
 *
 * Owns the connection, and what was said of containers on it. When the keeper is gone, everything it knew is gone, too:
 * each container is told as gone, and the next keeper tells of them anew. When another agent takes the keeper over,
 * this one is told nothing any more. An event loop that hangs answers no `ping`, and the keeper then counts it as absent.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerKey, Gate, GateOptions, GateStats } from './contract.ts';
import { batchEvents } from './eventBatches.ts';
import { frameOf, number } from './frames.ts';
import { greetingOf } from './greeting.ts';
import { firstRetryMs, greetKeeper } from './keeperConnection.ts';
import type { KeeperConnection, KeeperPlace } from './keeperProgram.ts';
import { publishFrame } from './publishFrame.ts';
import { noStats, type Said } from './said.ts';

export type * from './contract.ts';

const longestRetryMs = 2_000;
/**
 * For a keeper that is stopped and says nothing: until it must have said that the gate is open, which takes seconds with hundreds of
 * containers on a busy machine, and until it must have closed the connection, for which it gives itself 2 seconds. An agent that
 * ends while it waits for a keeper's welcome gives it as long as for its end, too.
 */
const defaultLimits = { welcomeMs: 30_000, endMs: 10_000 };

/**
 * Opens the gate, or takes over the one that the keeper has open: every container root filesystem there is and that
 * appears later is marked and answered for. Keeps the process alive until it ends. Callbacks come on later turns of
 * the event loop.
 * @throws GATE_NOT_PERMITTED, GATE_UNSUPPORTED, GATE_NOT_BUILT, KEEPER_UNREACHABLE, KEEPER_FAILED, KEEPER_VERSION
 */
export async function openGate(
  options: GateOptions,
  place: KeeperPlace = { how: 'off' },
  { welcomeMs, endMs } = defaultLimits,
): Promise<Gate> {
  const known = new Set<ContainerKey>();
  const contexts = new Map<ContainerKey, string>();
  /** Of a container that is gone, for the event that follows. */
  let last: { readonly key: ContainerKey; readonly context: string } | undefined;
  const answers = new Map<number, (value: unknown) => void>();
  let requests = 0;
  let connection: KeeperConnection | undefined;
  let isEnding = false;
  let lastStats = noStats;
  let unenforceable: string | undefined;
  const taken = Promise.withResolvers<void>();
  const ending = new AbortController();
  const ended = Promise.withResolvers<void>();
  let reopening: Promise<void> = Promise.resolve();

  const write = (frame: Buffer): void => {
    if (connection?.stream.writable === true) connection.stream.write(frame);
  };
  const ask = (kind: string, ...fields: Buffer[]): Promise<unknown> =>
    new Promise((resolve) => {
      if (connection?.stream.writable !== true) return resolve(null);
      const request = ++requests;
      answers.set(request, resolve);
      write(frameOf(kind, number(request, 4), ...fields));
    });

  const batches = batchEvents(options, () => {
    const from = connection;
    return (sequence) => {
      if (connection === from) write(frameOf('K', number(sequence, 8)));
    };
  });

  const contextOf = (key: ContainerKey): string | undefined =>
    contexts.get(key) ?? (last?.key === key ? last.context : undefined);

  const hear = (said: Said): void => {
    switch (said.type) {
      case 'container':
        // One that is found while the known ones are told comes twice.
        if (known.has(said.value.key)) return;
        known.add(said.value.key);
        options.onContainer(said.value);
        return;
      case 'firstExec':
        options.onFirstExec(said.value);
        return;
      case 'gone':
        contexts.delete(said.value);
        if (known.delete(said.value)) options.onContainerGone(said.value);
        return;
      case 'failure':
        options.onFailure(said.value.failure, said.value.count, said.value.detail);
        return;
      case 'context':
        if (known.has(said.value.key)) contexts.set(said.value.key, said.value.context);
        else last = said.value;
        return;
      case 'event': {
        const { key, decidedBy } = said.value;
        const context = decidedBy === 'unknown' ? undefined : contextOf(key);
        batches.add(context === undefined ? said.value : { ...said.value, context });
        return;
      }
      case 'ping':
        write(frameOf('B'));
        return;
      case 'answer':
        answers.get(said.request)?.(said.value);
        answers.delete(said.request);
        return;
      case 'closed':
        lastStats = said.value;
        return;
      case 'refused':
        if (said.code === 'KEEPER_TAKEN') {
          isEnding = true;
          taken.resolve();
        }
        return;
      case 'welcome':
        return;
    }
  };

  const forget = (): void => {
    connection = undefined;
    for (const resolve of answers.values()) resolve(null);
    answers.clear();
    const gone = [...known];
    known.clear();
    contexts.clear();
    if (!isEnding) for (const key of gone) options.onContainerGone(key);
  };

  const reopen = async (reason: string): Promise<void> => {
    options.onFailure('keeper_lost', 1, reason);
    options.onKeeper?.(false);
    for (let wait = firstRetryMs; !isEnding; wait = Math.min(2 * wait, longestRetryMs)) {
      await sleep(wait, undefined, { signal: ending.signal }).catch(() => undefined);
      if (isEnding) return;
      try {
        await greet();
        return options.onKeeper?.(true);
      } catch (error) {
        if (!isEnding) options.onFailure('keeper_lost', 1, (error as Error).message);
      }
    }
  };

  const greet = (): Promise<void> =>
    greetKeeper(place, greetingOf(options), { welcomeMs, endMs }, ending.signal, {
      onWelcome(opened, reason) {
        connection = opened;
        unenforceable = reason;
      },
      onSaid: hear,
      onClose(closed, reason) {
        if (connection !== closed) return;
        forget();
        if (isEnding) ended.resolve();
        else reopening = reopen(reason);
      },
    });

  await greet();
  const finish = async (closes: boolean): Promise<void> => {
    const isFirst = !isEnding;
    isEnding = true;
    ending.abort();
    await reopening;
    if (isFirst && connection !== undefined) {
      if (closes) write(frameOf('C'));
      else {
        // What is being done with now is confirmed; what comes after goes to the next agent.
        await batches.settled();
        connection.stream.end();
      }
    }
    const limit = setTimeout(() => {
      options.onFailure('keeper_lost', 1, `it did not let go within ${endMs} ms`);
      connection?.stream.destroy();
    }, endMs);
    if (connection !== undefined) await ended.promise;
    clearTimeout(limit);
    await batches.settled();
  };
  return {
    publish(key, table, generation, context = '', rules = []) {
      write(publishFrame(key, table, generation, context, rules));
    },
    adopt: async (key, pid) =>
      ((await ask('A', number(key, 8), number(pid, 4))) as string | null) ?? undefined,
    unenforceable: () => unenforceable,
    stats: async () => ((await ask('S')) as GateStats | null) ?? lastStats,
    leave: () => finish(false),
    close: () => finish(true),
    taken: taken.promise,
  };
}
