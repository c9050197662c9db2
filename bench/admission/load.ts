/**
 * Two loads of one request over TLS connections that are kept. Open: at a steady rate, whatever the answers take, each
 * latency from the moment at which the request should have gone out; a server that stalls cannot slow its clients down
 * and so hide its stall. Closed: on each connection one request after the other, as fast as they are answered.
 */

import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { type Answer, postOf, wholeAnswer } from '../../test/support/rawHttp.ts';

export interface Target {
  readonly port: number;
  readonly path: string;
  readonly body: string;
}

export interface OpenLoad {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Not answered with 200, or not within the drain; the latter count with the time that they had waited. */
  readonly failed: number;
}

interface Connection {
  /** One request at a time. Status 0: the connection was lost. */
  send(): Promise<Answer>;
  close(): void;
}

const connections = 32;
const drainMs = 5_000;

/** `perSecond` requests in each of `seconds`. */
export async function loadOpen(target: Target, perSecond: number, seconds: number): Promise<OpenLoad> {
  const idle = await Promise.all(Array.from({ length: connections }, () => open(target)));
  const all = [...idle];
  const total = perSecond * seconds;
  const latencies: number[] = [];
  /** When each of those that wait for a connection should have gone out. */
  const waiting: number[] = [];
  let [due, failed, answered] = [0, 0, 0];
  const startedAt = performance.now();
  const send = (connection: Connection, dueAt: number): void => {
    void connection.send().then(({ status }) => {
      answered += 1;
      latencies.push(performance.now() - dueAt);
      if (status !== 200) failed += 1;
      const next = waiting.shift();
      if (next === undefined) idle.push(connection);
      else send(connection, next);
    });
  };
  const end = startedAt + seconds * 1_000 + drainMs;
  while (answered < total && performance.now() < end) {
    const now = performance.now();
    for (; due < total && startedAt + (due * 1_000) / perSecond <= now; due++) {
      const dueAt = startedAt + (due * 1_000) / perSecond;
      const connection = idle.pop();
      if (connection === undefined) waiting.push(dueAt);
      else send(connection, dueAt);
    }
    // A timer would be up to a millisecond late, which is more than an answer takes.
    await new Promise(setImmediate);
  }
  const unanswered = total - answered;
  for (const connection of all) connection.close();
  for (let index = 0; index < unanswered; index++) latencies.push(performance.now() - startedAt);
  latencies.sort((a, b) => a - b);
  const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { p50Ms: at(0.5), p99Ms: at(0.99), failed: failed + unanswered };
}

/** Answers per second over `seconds`. @throws when one is not 200 */
export async function loadClosed(target: Target, seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1_000;
  let answered = 0;
  const one = async (): Promise<void> => {
    const connection = await open(target);
    while (performance.now() < end) {
      const { status } = await connection.send();
      if (status !== 200) throw new Error(`answered with ${status}`);
      answered += 1;
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: connections }, one));
  return answered / seconds;
}

/** The bytes of one answer's body. */
export async function ask(target: Target): Promise<string> {
  const connection = await open(target);
  const { status, text, body } = await connection.send();
  connection.close();
  if (status !== 200) throw new Error(`port ${target.port} answered with ${status}: ${text}`);
  return body;
}

const lost: Answer = { status: 0, text: '', body: '', isLast: true };

async function open({ port, path, body }: Target): Promise<Connection> {
  const request = postOf(path, body);
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true).setEncoding('latin1');
  let received = '';
  let settle: ((answer: Answer) => void) | undefined;
  socket.on('data', (chunk: string) => {
    received += chunk;
    const answer = wholeAnswer(received);
    if (answer === undefined) return;
    received = '';
    settle?.(answer);
  });
  const lose = (): void => settle?.(lost);
  socket.on('error', lose).on('close', lose);
  return {
    send: () =>
      new Promise((resolve) => {
        settle = resolve;
        if (socket.destroyed) resolve(lost);
        else socket.write(request);
      }),
    close: () => socket.destroy(),
  };
}
