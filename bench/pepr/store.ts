/**
 * The little of an API server that Pepr's controller asks for outside of a cluster: it serves nothing until it has read
 * its stores, and watches them from then on.
 */

import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StoreServer {
  readonly url: string;
  close(): void;
}

export async function serveStores(): Promise<StoreServer> {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const named = /=(pepr-[a-z-]+)/.exec(searchParams.get('fieldSelector') ?? '')?.[1];
    const name = named ?? pathname.split('/').at(-1) ?? '';
    request.resume();
    response.setHeader('content-type', 'application/json');
    if (searchParams.get('watch') === 'true' || searchParams.get('watch') === '1') {
      // Stays open, as a watch does.
      send(response, { type: 'ADDED', object: storeOf(name) });
      return;
    }
    const list = { apiVersion: 'pepr.dev/v1', kind: 'PeprStoreList', metadata: { resourceVersion: '1' } };
    response.end(JSON.stringify(named === undefined ? storeOf(name) : { ...list, items: [storeOf(name)] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function send(response: ServerResponse, value: unknown): void {
  response.write(`${JSON.stringify(value)}\n`);
}

function storeOf(name: string): object {
  const labels = { 'pepr.dev-cacheID': '1' };
  return {
    apiVersion: 'pepr.dev/v1',
    kind: 'PeprStore',
    metadata: { name, namespace: 'pepr-system', uid: name, resourceVersion: '1', labels },
    data: { __pepr_do_not_delete__: 'k-thx-bye' },
  };
}
