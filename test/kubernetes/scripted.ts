/** An API server that says what a test wants, at the moment that it wants: what a real one does within a millisecond. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cluster, openCluster } from '../../src/kubernetes/client.ts';

/** What is kept of a user in a kubeconfig. */
const anyone = { token: 't' };

/** Runs `body` with a cluster whose requests are answered by `answer`. */
export async function withScripted(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  body: (cluster: Cluster) => Promise<void>,
  user: object = anyone,
): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const folder = await mkdtemp(join(tmpdir(), 'd4c-scripted-'));
  const kubeconfig = join(folder, 'config');
  const context = { name: 'x', context: { cluster: 'c', user: 'u' } };
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        { name: 'c', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } },
      ],
      users: [{ name: 'u', user }],
      contexts: [context],
      'current-context': context.name,
    }),
  );
  const cluster = await openCluster({ kubeconfig });
  try {
    await body(cluster);
  } finally {
    cluster.close();
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true });
  }
}
