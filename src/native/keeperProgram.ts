/** The keeper's program: where it is, how it is started, and how one that runs is reached. */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { environment } from '../config.ts';
import { GateError } from '../errors.ts';

/** Which keeper gates. */
export type KeeperPlace =
  /** A process of this process's own, which ends with it. */
  | { readonly how: 'off' }
  /** The one that listens at the socket, or else a new one there, which outlives this process. */
  | { readonly how: 'start'; readonly socket: string }
  /** The one that listens at the socket, started by somebody else. */
  | { readonly how: 'join'; readonly socket: string };

/** Where the keeper of a machine listens, unless it is told otherwise. */
export const defaultKeeperSocket = '/run/d4c-gate/keeper.sock';

/** A connection with a keeper. `said`: what its program has said on standard error, when it was started here. */
export interface KeeperConnection {
  readonly stream: Duplex;
  readonly said: () => string;
}

/** @throws GATE_NOT_BUILT, GATE_NOT_PERMITTED, GATE_UNSUPPORTED, KEEPER_FAILED, KEEPER_UNREACHABLE */
export async function connectKeeper(place: KeeperPlace): Promise<KeeperConnection> {
  if (place.how === 'off') return startKeeper([], false);
  try {
    return { stream: await connectSocket(place.socket), said: () => '' };
  } catch (error) {
    const isNobodyThere = ['ENOENT', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '');
    if (place.how === 'start' && isNobodyThere) return startKeeper(['--socket', place.socket], true);
    const reason = (error as Error).message;
    if (isRefused(error)) throw notPermitted(place.socket, reason, error);
    throw new GateError('KEEPER_UNREACHABLE', `no keeper answers at \`${place.socket}\`: ${reason}`, error);
  }
}

/** A connection with what listens at the socket. */
export function connectSocket(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => resolve(socket.off('error', reject)));
    socket.once('error', reject);
  });
}

/** The path of the keeper's program. @throws GATE_NOT_BUILT, GATE_UNSUPPORTED */
export function keeperProgram(): string {
  if (process.platform !== 'linux') throw new GateError('GATE_UNSUPPORTED', 'the node agent needs Linux');
  const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
  const program = environment.keeperProgram ?? join(root, 'build', 'Release', 'd4c-gate-keeper');
  if (existsSync(program)) return program;
  const advice = 'on Linux, `npm run build:native` builds it';
  throw new GateError('GATE_NOT_BUILT', `\`${program}\` is not there; ${advice}`);
}

/** The new process has one end of its connection from the beginning, so that nothing has to be waited for. */
function startKeeper(flags: readonly string[], isDetached: boolean): KeeperConnection {
  const program = keeperProgram();
  const [, socket] = flags;
  if (socket !== undefined) makeFolderOf(socket);
  const keeper = spawn(program, ['--connection', '3', ...flags], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    detached: isDetached,
    cwd: '/',
  });
  let said = '';
  keeper.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4096);
  });
  // What keeps this process alive is the connection alone.
  keeper.unref();
  (keeper.stderr as Socket | null)?.unref();
  keeper.on('error', (error) => {
    said = error.message;
  });
  return { stream: keeper.stdio[3] as Duplex, said: () => said };
}

function makeFolderOf(socket: string): void {
  try {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
  } catch (error) {
    const reason = (error as Error).message;
    if (isRefused(error)) throw notPermitted(socket, reason, error);
    throw new GateError('KEEPER_FAILED', `cannot make the folder of \`${socket}\`: ${reason}`, error);
  }
}

function isRefused(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
}

function notPermitted(socket: string, reason: string, cause: unknown): GateError {
  return new GateError('GATE_NOT_PERMITTED', `cannot use \`${socket}\`: ${reason}; run as root`, cause);
}
