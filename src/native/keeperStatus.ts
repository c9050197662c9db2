/** What a keeper says of itself to whoever asks, without being its agent. */

import { spawnSync } from 'node:child_process';
import { GateError } from '../errors.ts';
import type { GateMode, GateStats, OnAgentLoss, OnDeadline } from './contract.ts';
import { frameOf, frameReader, number } from './frames.ts';
import { connectKeeper, keeperProgram } from './keeperProgram.ts';

export interface KeeperStatus {
  readonly pid: number;
  /** What it speaks (`greeting.ts`); absent in keepers that are older than this. */
  readonly speech?: string;
  /** Whether an agent is connected and answers. */
  readonly hasAgent: boolean;
  /** For how long an agent that is connected has said nothing, when that is too long. */
  readonly silentMs?: number;
  /** Events that were sent to the agent and are not written yet. */
  readonly unconfirmed: number;
  /** Absent until an agent has opened the gate. */
  readonly settings?: {
    readonly mode: GateMode;
    readonly holdMs: number;
    readonly onUnknown: 'allow' | 'deny';
    readonly onAgentLoss: OnAgentLoss;
    /** Absent in keepers that are older than this. */
    readonly silenceMs?: number;
    readonly deadlineMs: number;
    readonly onDeadline: OnDeadline;
    readonly blockScripts: boolean;
    readonly memfdNoexec: boolean;
    readonly processEnds: boolean;
  };
  readonly stats?: GateStats;
  readonly gate?: {
    readonly containers: readonly ContainerStatus[];
    /** Verdicts by how long they took: number n counts those below 2^n microseconds that the one before does not. */
    readonly latencies: readonly number[];
    readonly failures: Readonly<Record<string, number>>;
    readonly readers: number;
    readonly keptReaders: number;
    readonly eventsWaiting: number;
    /** Events of all containers since the gate was opened, also of those that are gone, by what became of each. */
    readonly outcomes: Outcomes;
    /** Why nothing can be refused here and everything is only told; absent where it can. */
    readonly unenforceable?: string;
  };
}

/** How many operations had each outcome. */
export type Outcomes = Readonly<Record<'prevented' | 'contained' | 'reverted' | 'detected', number>>;

/** What became of the operations of which a selector spoke, since the container was found. */
export interface LedgerLine extends Outcomes {
  readonly policy: string;
  readonly section: 'file' | 'process';
  readonly selector: string;
}

export interface ContainerStatus {
  readonly key: number;
  readonly mountPoint: string;
  readonly cgroup: string;
  readonly pid: number;
  readonly isPublished: boolean;
  readonly hasTable: boolean;
  readonly enforces: boolean;
  readonly generation: number;
  /** What is marked: with `nothing`, no operation costs anything. */
  readonly watch: 'nothing' | 'exec' | 'execAndOpen';
  readonly sharesGroup: boolean;
  /** Events that wait for policies. */
  readonly held: number;
  /** `shared`: the container has the host's pid namespace, whose setting is not touched. */
  readonly memfdNoexec: 'notAsked' | 'set' | 'shared' | 'failed';
  /** Only rules of which something was told. An event counts once for each selector that matched. */
  readonly ledger: readonly LedgerLine[];
  /** What was published with the table. */
  readonly context?: string;
}

/** What a kernel offers; a feature that is missing says why. */
export interface Probe {
  readonly kernel: string;
  readonly features: Readonly<Record<string, { readonly isThere: boolean; readonly reason?: string }>>;
  readonly maxUserGroups: string;
  readonly openFiles: number;
}

const deadlineMs = 5_000;

/** @throws KEEPER_UNREACHABLE, GATE_NOT_PERMITTED */
export async function readKeeperStatus(socket: string): Promise<KeeperStatus> {
  const { stream } = await connectKeeper({ how: 'join', socket });
  const read = frameReader();
  const answer = new Promise<KeeperStatus>((resolve, reject) => {
    const fail = (why: string): void =>
      reject(new GateError('KEEPER_UNREACHABLE', `no answer at \`${socket}\`: ${why}`));
    const limit = setTimeout(() => fail('the deadline has passed'), deadlineMs);
    stream.on('data', (chunk: Buffer) => {
      for (const frame of read(chunk)) {
        clearTimeout(limit);
        resolve((frame as { value: KeeperStatus }).value);
      }
    });
    stream.on('error', (error) => fail(error.message));
    stream.on('close', () => fail('the connection was closed'));
  });
  stream.write(frameOf('T', number(1, 4)));
  return await answer.finally(() => stream.destroy());
}

/** @throws GATE_NOT_BUILT, GATE_UNSUPPORTED, KEEPER_FAILED */
export function probeKernel(): Probe {
  const { status, stdout, error } = spawnSync(keeperProgram(), ['--probe'], {
    encoding: 'utf8',
    timeout: deadlineMs,
  });
  if (status !== 0)
    throw new GateError('KEEPER_FAILED', `cannot probe the kernel: ${error?.message ?? status}`);
  return JSON.parse(stdout);
}
