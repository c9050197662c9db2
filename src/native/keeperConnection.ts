/**
 * A connection with a keeper, from the agent's greeting on.
 *
 * Owns the connection until the keeper has welcomed the agent, or it is known why not.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { GateError } from '../errors.ts';
import { frameOf, frameReader } from './frames.ts';
import { lastLine, otherVersion, refusalOf, speech } from './greeting.ts';
import { connectKeeper, type KeeperConnection, type KeeperPlace } from './keeperProgram.ts';
import type { Said } from './said.ts';

export interface Callbacks {
  /** The keeper has let the agent in. `unenforceable`: why its kernel enforces no rule, if so. */
  onWelcome(connection: KeeperConnection, unenforceable: string | undefined): void;
  /** On later turns of the event loop than the welcome: nothing is told before whoever waits for the gate has it. */
  onSaid(said: Said): void;
  /** The connection has ended, also one that was never welcomed. */
  onClose(connection: KeeperConnection, reason: string): void;
}

/** For a keeper that says nothing, in milliseconds. `endMs` counts for an agent that ends meanwhile. */
export interface Limits {
  readonly welcomeMs: number;
  readonly endMs: number;
}

/** A keeper went before it said a word. */
class HungUp extends GateError {}

/** Until a keeper that went is looked for again the first time. */
export const firstRetryMs = 50;
const retries = 6;

/**
 * Connects with the keeper at its place, greets it, and resolves when it has welcomed the agent.
 *
 * A keeper that is being killed takes connections until the kernel has closed its socket: then another attempt comes to the next
 * one, or starts it.
 * @throws GATE_NOT_PERMITTED, GATE_UNSUPPORTED, GATE_NOT_BUILT, KEEPER_UNREACHABLE, KEEPER_FAILED, KEEPER_VERSION
 */
export async function greetKeeper(
  place: KeeperPlace,
  greeting: Buffer,
  limits: Limits,
  ending: AbortSignal,
  callbacks: Callbacks,
): Promise<void> {
  for (let retry = 0; ; retry++) {
    try {
      return await greetOnce(await connectKeeper(place), greeting, limits, ending, callbacks);
    } catch (error) {
      if (!(error instanceof HungUp) || place.how === 'off' || retry === retries) throw error;
      await sleep(firstRetryMs << retry, undefined, { signal: ending }).catch(() => {
        throw error;
      });
    }
  }
}

async function greetOnce(
  connection: KeeperConnection,
  greeting: Buffer,
  { welcomeMs, endMs }: Limits,
  ending: AbortSignal,
  { onWelcome, onSaid, onClose }: Callbacks,
): Promise<void> {
  const { stream } = connection;
  const read = frameReader();
  const welcome = Promise.withResolvers<void>();
  let isWelcome = false;
  let fault = '';
  let early: Said[] | undefined = [];
  stream.on('error', (error) => {
    fault = error.message;
  });
  stream.on('close', () => {
    const said = lastLine(connection.said());
    const reason = said || fault || 'the keeper has ended';
    welcome.reject(
      said === '' ? new HungUp('KEEPER_FAILED', reason) : new GateError('KEEPER_FAILED', reason),
    );
    onClose(connection, reason);
  });
  stream.on('data', (chunk: Buffer) => {
    for (const said of read(chunk) as Said[]) {
      if (isWelcome && early === undefined) onSaid(said);
      else if (isWelcome) early?.push(said);
      else if (said.type === 'refused') welcome.reject(refusalOf(said));
      else if (said.type === 'welcome' && said.speech !== speech) {
        // One that is older than this check has let the agent in.
        welcome.reject(otherVersion(`the keeper speaks ${said.speech ?? '1.1'}, and the agent ${speech}`));
      } else if (said.type === 'welcome') {
        isWelcome = true;
        onWelcome(connection, said.unenforceable);
        welcome.resolve();
        setImmediate(() => {
          const all = early ?? [];
          early = undefined;
          for (const each of all) onSaid(each);
        });
      }
    }
  });
  let limit: NodeJS.Timeout | undefined;
  const giveUpAfter = (ms: number): void => {
    clearTimeout(limit);
    limit = setTimeout(() => {
      welcome.reject(new GateError('KEEPER_UNREACHABLE', `the keeper says nothing within ${ms} ms`));
    }, ms);
  };
  // It may be a keeper that was started a moment ago, for this agent: that one is to be told what becomes of its gate.
  const hurry = (): void => giveUpAfter(endMs);
  giveUpAfter(ending.aborted ? endMs : welcomeMs);
  ending.addEventListener('abort', hurry);
  stream.write(frameOf('H', greeting));
  try {
    await welcome.promise;
  } catch (error) {
    stream.destroy();
    throw error;
  } finally {
    clearTimeout(limit);
    ending.removeEventListener('abort', hurry);
  }
}
