/** `d4c-gate serve` as its own process beside a test cluster, installed by URL. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificatesAhead, untilTrusted } from './certificatesAhead.ts';
import type { TestCluster } from './cluster.ts';
import { freePort } from './ports.ts';
import { eventually } from './programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

export interface ClusterGate {
  readonly child: ChildProcess;
  /** `HOST:PORT`. */
  readonly address: string;
  output(): string;
  /** One line of `/metrics`, by its name with its labels; NaN when it is not there. */
  metric(name: string): Promise<number>;
  /** SIGTERM, which gives the Lease back. Twice is fine. */
  stop(): Promise<void>;
}

export interface ClusterGateOptions {
  /** Policies of a directory, by ID. */
  readonly policies?: Readonly<Record<string, object>>;
  /** Default: `d4c-gate`. */
  readonly namespace?: string;
  /** Where an earlier one listened, so that the API server finds this one in its place. */
  readonly address?: string;
  /** Default: the administrator's. */
  readonly kubeconfig?: string;
  /** Further arguments of `serve`. */
  readonly args?: readonly string[];
}

/** Resolves when it listens and the API server trusts it. */
export async function startClusterGate(
  cluster: TestCluster,
  options: ClusterGateOptions = {},
): Promise<ClusterGate> {
  const namespace = options.namespace ?? 'd4c-gate';
  await makeCertificatesAhead(cluster.client, namespace);
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-'));
  for (const [id, policy] of Object.entries(options.policies ?? {})) {
    await writeFile(join(folder, `${id}.yaml`), JSON.stringify(policy));
  }
  const address = options.address ?? `127.0.0.1:${await freePort()}`;
  const child = spawn(
    process.execPath,
    [
      ...[main, 'serve', '--kubeconfig', options.kubeconfig ?? cluster.kubeconfig],
      ...['--webhook-url', `https://${address}`],
      ...['--listen', address, '--install', '--namespace', namespace],
      ...['--policies', folder, '--drain-ms', '0', ...(options.args ?? [])],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const agent = new Agent({ rejectUnauthorized: false, keepAlive: true });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const gate: ClusterGate = {
    child,
    address,
    output: () => text,
    metric: async (name) => numberIn(await fetchText(`https://${address}/metrics`, agent), name),
    async stop() {
      agent.destroy();
      process.off('exit', kill);
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
  await eventually(
    'it listens',
    () => {
      if (child.exitCode !== null) throw new Error(text);
      return text.includes(`listening on https://${address}`);
    },
    40_000,
  );
  await untilTrusted(cluster.client);
  return gate;
}

function numberIn(metrics: string, name: string): number {
  const line = metrics.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? Number.NaN : Number(line.slice(name.length));
}

function fetchText(url: string, agent: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text)).on('error', reject);
    }).on('error', reject);
  });
}
