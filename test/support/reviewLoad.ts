/**
 * A client of webhooks that leaves the processors to those it asks, over connections that are kept. Sends at a fixed rate to each in turn that is ready when the request goes out, whether or not earlier ones
 * have been answered. What cannot go out in time, since the machine is busy, goes out later: no request is left out.
 *
 * Owns its connections; `stop` ends them.
 */

import { connect, type TLSSocket } from 'node:tls';
import { postOf, wholeAnswer } from './rawHttp.ts';

export interface ReviewLoadOptions {
  /** Ports of 127.0.0.1 that take requests now. */
  readonly ready: () => readonly number[];
  readonly path: string;
  readonly body: string;
  readonly perSecond: number;
}

export interface ReviewLoadResult {
  readonly sent: number;
  /** How many a second. */
  readonly rate: number;
  /** One line for each request that was not answered with `allowed: true` within 10 seconds. */
  readonly failed: readonly string[];
}

/** Servers that do not keep up are not asked more than this at once: each further one would be a handshake more. */
const maxInFlight = 64;
const answerMs = 10_000;

interface Asking {
  readonly what: string;
  readonly done: (failure?: string) => void;
  readonly sentAt: number;
}

export function startReviewLoad(options: ReviewLoadOptions): { stop(): Promise<ReviewLoadResult> } {
  const { ready, path, body, perSecond } = options;
  const bytes = postOf(path, body);
  const idle = new Map<number, TLSSocket[]>();
  const asking = new Map<TLSSocket, Asking>();
  const failed: string[] = [];
  const answered = Promise.withResolvers<void>();
  let [sent, isOver] = [0, false];

  function open(port: number): TLSSocket {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }).setNoDelay(true);
    let text = '';
    const end = (failure: string) => {
      const free = idle.get(port);
      if (free?.includes(socket)) free.splice(free.indexOf(socket), 1);
      asking.get(socket)?.done(failure);
      socket.destroy();
    };
    socket
      .setEncoding('latin1')
      .on('data', (chunk: string) => {
        text += chunk;
        const answer = wholeAnswer(text);
        if (answer === undefined) return;
        text = '';
        const { status, isLast } = answer;
        if (!isLast) idle.set(port, [...(idle.get(port) ?? []), socket]);
        const isAllowed = status === 200 && answer.body.includes('"allowed":true');
        asking.get(socket)?.done(isAllowed ? undefined : answer.text);
        if (isLast) socket.destroy();
      })
      .on('error', (error) => end(error.message))
      .on('close', () => end('the connection was closed'));
    return socket;
  }

  function send(): void {
    const ports = ready();
    const port = ports[sent % ports.length];
    const what = `request ${sent} to ${port ?? 'nobody'}`;
    sent += 1;
    if (port === undefined) {
      failed.push(`${what}: none is ready`);
      return;
    }
    const socket = idle.get(port)?.pop() ?? open(port);
    asking.set(socket, {
      what,
      sentAt: performance.now(),
      done(failure) {
        asking.delete(socket);
        if (failure !== undefined) failed.push(`${what}: ${failure}`);
        dispatch();
      },
    });
    socket.write(bytes);
  }

  const started = performance.now();
  function dispatch(): void {
    const due = Math.floor(((performance.now() - started) / 1_000) * perSecond);
    while (!isOver && sent < due && asking.size < maxInFlight) send();
    if (isOver && asking.size === 0) answered.resolve();
  }
  const timers = [
    setInterval(dispatch, 5),
    setInterval(() => {
      for (const [socket, { sentAt }] of asking) {
        if (performance.now() - sentAt > answerMs) socket.destroy(new Error(`no answer in ${answerMs} ms`));
      }
    }, 500),
  ];

  return {
    async stop() {
      isOver = true;
      const rate = (sent / (performance.now() - started)) * 1_000;
      dispatch();
      await answered.promise;
      for (const timer of timers) clearInterval(timer);
      for (const socket of [...idle.values()].flat()) socket.destroy();
      return { sent, rate, failed };
    },
  };
}
