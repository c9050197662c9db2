/**
 * The gate as the agent sees it: a client of the keeper, in JavaScript alone.
 *
 * Owns the connection, and what was said of containers on it. When the keeper is gone, everything it knew is gone, too:
 * each container is told as gone, and the next keeper tells of them anew. When another agent takes the keeper over,
 * this one is told nothing any more. An event loop that hangs answers no `ping`, and the keeper then counts it as absent.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { GateError } from '../errors.ts';
import type { ContainerKey, Gate, GateOptions, GateStats, KernelEvent } from './contract.ts';
import { counted, frameOf, frameReader, number } from './frames.ts';
import { greetingOf, lastLine, otherVersion, refusalOf, speech } from './greeting.ts';
import { connectKeeper, type KeeperConnection, type KeeperPlace } from './keeperProgram.ts';
import { ruleNames } from './ruleNames.ts';
import type { Said } from './said.ts';

export type * from './contract.ts';

const firstRetryMs = 50;
const longestRetryMs = 2_000;
const noStats: GateStats = {
  verdicts: 0,
  denied: 0,
  unknown: 0,
  held: 0,
  late: 0,
  groups: 0,
  roots: 0,
  eventsDropped: 0,
};

/**
 * Opens the gate, or takes over the one that the keeper has open: every container root filesystem there is and that
 * appears later is marked and answered for. Keeps the process alive until it ends. Callbacks come on later turns of
 * the event loop.
 * @throws GATE_NOT_PERMITTED, GATE_UNSUPPORTED, GATE_NOT_BUILT, KEEPER_UNREACHABLE, KEEPER_FAILED, KEEPER_VERSION
 */
export async function openGate(options: GateOptions, place: KeeperPlace = { how: 'off' }): Promise<Gate> {
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
  let told: Promise<void> = Promise.resolve();
  let events: KernelEvent[] = [];
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

  /** Events go one batch after another; what has been done with is confirmed. */
  const tellEvents = (): void => {
    const from = connection;
    told = told.then(async () => {
      const batch = events;
      events = [];
      const last = batch.at(-1);
      if (last === undefined) return;
      try {
        await options.onEvents(batch);
      } catch (error) {
        options.onFailure('event_report_dropped', batch.length, String(error));
      }
      if (connection === from) write(frameOf('K', number(last.sequence, 8)));
    });
  };

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
        events.push(context === undefined ? said.value : { ...said.value, context });
        if (events.length === 1) tellEvents();
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
    for (let wait = firstRetryMs; !isEnding; wait = Math.min(2 * wait, longestRetryMs)) {
      await sleep(wait, undefined, { signal: ending.signal }).catch(() => undefined);
      if (isEnding) return;
      try {
        return await greet();
      } catch (error) {
        options.onFailure('keeper_lost', 1, (error as Error).message);
      }
    }
  };

  const greet = async (): Promise<void> => {
    const opened = await connectKeeper(place);
    const { stream } = opened;
    const read = frameReader();
    const welcome = Promise.withResolvers<void>();
    let isWelcome = false;
    let fault = '';
    let early: Said[] | undefined = [];
    stream.on('error', (error) => {
      fault = error.message;
    });
    stream.on('close', () => {
      const reason = lastLine(opened.said()) || fault || 'the keeper has ended';
      if (!isWelcome) welcome.reject(new GateError('KEEPER_FAILED', reason));
      if (connection !== opened) return;
      forget();
      if (isEnding) ended.resolve();
      else reopening = reopen(reason);
    });
    stream.on('data', (chunk: Buffer) => {
      for (const said of read(chunk) as Said[]) {
        if (isWelcome && early === undefined) hear(said);
        else if (isWelcome) early?.push(said);
        else if (said.type === 'refused') welcome.reject(refusalOf(said));
        else if (said.type === 'welcome' && said.speech !== speech) {
          // One that is older than this check has let the agent in.
          welcome.reject(otherVersion(`the keeper speaks ${said.speech ?? '1.1'}, and the agent ${speech}`));
        } else if (said.type === 'welcome') {
          isWelcome = true;
          unenforceable = said.unenforceable;
          connection = opened;
          welcome.resolve();
          // Nothing is told before whoever waits for the gate has it.
          setImmediate(() => {
            const all = early ?? [];
            early = undefined;
            for (const each of all) hear(each);
          });
        }
      }
    });
    stream.write(frameOf('H', greetingOf(options)));
    await welcome.promise.catch((error: unknown) => {
      stream.destroy();
      throw error;
    });
  };

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
        await told;
        connection.stream.end();
      }
    }
    if (connection !== undefined) await ended.promise;
    await told;
  };
  return {
    publish(key, table, generation, context = '', rules = []) {
      const bytes = table ?? new Uint8Array();
      const flags = number(table === null ? 0 : 1, 1);
      write(
        frameOf(
          'P',
          number(key, 8),
          number(generation, 8),
          flags,
          counted(bytes),
          counted(Buffer.from(context)),
          counted(ruleNames(rules)),
        ),
      );
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
