/**
 * Replicas of `d4c-gate serve` beside a real control plane, as a Deployment and a Service would run them: processes that
 * share one Secret and one Lease, behind one address that gives each new connection to the next one that is ready.
 *
 * Owns the processes and the address; `close` ends them.
 */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { makeCertificatesAhead, untilTrusted } from './certificatesAhead.ts';
import type { TestCluster } from './cluster.ts';
import { freePort } from './ports.ts';
import { eventually } from './programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
/** As often as an endpoint controller would hear of it in a quick cluster. */
const readinessEveryMs = 100;

export interface Replica {
  readonly port: number;
  readonly isReady: boolean;
  readonly isRunning: boolean;
  /** The exit code, once it has ended. */
  readonly exitCode: number | null;
  output(): string;
  /** The text of `/metrics`. */
  metrics(): Promise<string>;
  start(more?: readonly string[]): void;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code. */
  stop(): Promise<number | null>;
  untilReady(limitMs?: number): Promise<void>;
}

export interface Replicas {
  /** Where the API server finds them all. */
  readonly url: string;
  readonly all: readonly Replica[];
  /** The sum of a series, given as it begins in the text, over all replicas. */
  sum(series: string): Promise<number>;
  close(): Promise<void>;
}

/** The first one installs; each is ready, and the API server trusts them, when this resolves. */
export async function startReplicas(
  { kubeconfig, client }: TestCluster,
  namespace: string,
  count: number,
  { flags = [], logLevel = 'info' }: { flags?: readonly string[]; logLevel?: string } = {},
): Promise<Replicas> {
  await makeCertificatesAhead(client, namespace);
  const all: Replica[] = [];
  const balancer = createServer({ pauseOnConnect: true });
  const open = new Set<Socket>();
  let turn = 0;
  balancer.on('connection', (socket) => {
    const ready = all.filter(({ isReady }) => isReady);
    turn += 1;
    const replica = ready[turn % ready.length];
    if (replica === undefined) return socket.destroy();
    const upstream = connect(replica.port, '127.0.0.1');
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
    socket.pipe(upstream).pipe(socket);
    return socket;
  });
  balancer.listen(0, '127.0.0.1');
  await once(balancer, 'listening');
  const url = `https://127.0.0.1:${(balancer.address() as AddressInfo).port}`;
  for (let index = 0; index < count; index += 1) {
    const args = ['serve', '--kubeconfig', kubeconfig, '--webhook-url', url, '--namespace', namespace];
    const replica = await makeReplica([main, ...args, ...flags], logLevel);
    all.push(replica);
    replica.start(index === 0 ? ['--install'] : []);
    // The others would look for the namespace and the Secret that the first one makes.
    if (index === 0) await replica.untilReady();
  }
  await Promise.all(all.map((replica) => replica.untilReady()));
  await untilTrusted(client);
  return {
    url,
    all,
    async sum(series) {
      const texts = await Promise.all(all.filter(({ isRunning }) => isRunning).map((one) => one.metrics()));
      const values = texts.flatMap((text) => text.split('\n')).filter((line) => line.startsWith(series));
      return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
    async close() {
      for (const replica of all) replica.signal('SIGKILL');
      await Promise.all(all.map((replica) => eventually('it has ended', () => !replica.isRunning)));
      for (const socket of open) socket.destroy();
      balancer.close();
    },
  };
}

async function makeReplica(argv: readonly string[], logLevel: string): Promise<Replica> {
  const port = await freePort();
  let child: ChildProcess | undefined;
  let text = '';
  let ready = false;
  let watching: NodeJS.Timeout | undefined;
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null;
  const replica: Replica = {
    port,
    get isReady() {
      return ready;
    },
    get isRunning() {
      return isRunning();
    },
    get exitCode() {
      return child?.exitCode ?? null;
    },
    output: () => text,
    metrics: async () => (await get(port, '/metrics', agent)).text,
    start(more = []) {
      child = spawn(process.execPath, [...argv, '--listen', `127.0.0.1:${port}`, ...more], {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, D4C_GATE_LOG_LEVEL: logLevel },
      });
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
      }
      watching = setInterval(async () => {
        ready = isRunning() && (await get(port, '/readyz', agent).catch(() => undefined))?.status === 200;
      }, readinessEveryMs).unref();
      child.once('exit', () => {
        clearInterval(watching);
        ready = false;
      });
    },
    signal(signal) {
      child?.kill(signal);
    },
    async stop() {
      const ended = child !== undefined && isRunning() ? once(child, 'exit') : Promise.resolve();
      child?.kill('SIGTERM');
      await ended;
      return replica.exitCode;
    },
    async untilReady(limitMs = 45_000) {
      await eventually(
        'the replica is ready',
        () => {
          assert.ok(isRunning(), text);
          return ready;
        },
        limitMs,
      );
    },
  };
  return replica;
}

/** Health and metrics, as a kubelet asks for them: without verifying. */
function get(port: number, path: string, agent: Agent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, agent, timeout: 2_000 }, (answer) => {
      let text = '';
      answer
        .setEncoding('utf8')
        .on('data', (chunk: string) => {
          text += chunk;
        })
        .on('error', reject)
        .on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    call.on('timeout', () => call.destroy(new Error('no answer in 2 s')));
    call.on('error', reject);
    call.end();
  });
}
