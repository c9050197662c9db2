/**
 * The real command `serve` beside a test's cluster, installed by URL, with `failurePolicy: Fail` for pods: whatever it gets
 * wrong fails a request. Owns the process; `close` ends it.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { makeCertificatesAhead, untilTrusted } from './certificatesAhead.ts';
import type { TestCluster } from './cluster.ts';
import { freePort } from './ports.ts';
import { eventually, must } from './programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
const configurations = ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations'] as const;

export interface Served {
  /** What it printed so far. */
  output(): string;
  /** Also takes everything out of the cluster again. */
  close(): Promise<void>;
}

/** Resolves when it listens and the API server trusts it. */
export async function serveCluster(cluster: TestCluster, ownNamespace: string): Promise<Served> {
  await makeCertificatesAhead(cluster.client, ownNamespace);
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    process.execPath,
    [
      ...[main, 'serve', '--kubeconfig', cluster.kubeconfig, '--webhook-url', `https://${address}`],
      ...['--listen', address, '--install', '--namespace', ownNamespace, '--drain-ms', '0'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await must(process.execPath, [main, 'uninstall', '--kubeconfig', cluster.kubeconfig], {
      limitMs: 60_000,
    });
  };
  try {
    await eventually(
      'it listens',
      () => {
        assert.equal(child.exitCode, null, text);
        return text.includes(`listening on https://${address}`);
      },
      40_000,
    );
    await untilTrusted(cluster.client);
    await failClosed(cluster);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  return { output: () => text, close };
}

/** The webhooks on pods, which `install` lets fail open. */
async function failClosed({ client }: TestCluster): Promise<void> {
  for (const kind of configurations) {
    const { webhooks = [] } = await client.get(kind, { name: 'd4c-gate' });
    const patch = webhooks.flatMap(({ name }, index) =>
      /^(mutate|validate)\./.test(name)
        ? [{ op: 'replace' as const, path: `/webhooks/${index}/failurePolicy`, value: 'Fail' }]
        : [],
    );
    await client.jsonPatch(kind, { name: 'd4c-gate' }, patch);
  }
}
