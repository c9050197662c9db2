import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { boundConnections, type Connections } from '../../src/admission/connections.ts';
import { failuresTotal } from '../../src/metrics.ts';
import { eventually } from '../support/programs.ts';

/** Real sockets, held by `connections`; a connection's number is the order in which it was opened. */
async function opener(connections: Connections) {
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    connections.open(socket);
    connections.secure(socket);
    accepted.push(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const clients: Socket[] = [];
  return {
    accepted,
    async open(): Promise<void> {
      const client = connect(port, '127.0.0.1').on('error', () => undefined);
      clients.push(client);
      await once(client, 'connect');
      await eventually('it is accepted', () => accepted.length === clients.length);
    },
    use: (index: number) => connections.use(accepted[index] as Socket),
    isOpen: () => accepted.map((socket) => !socket.destroyed),
    close() {
      for (const client of clients) client.destroy();
      server.close();
    },
  };
}

test('one too many closes the oldest that never carried a request, then the one used longest ago', async (t) => {
  const evicted = async () =>
    (await failuresTotal.get()).values.find(({ labels }) => labels.failure === 'connection_evicted')?.value ??
    0;
  const before = await evicted();
  const sockets = await opener(boundConnections(3));
  t.after(() => sockets.close());
  for (let index = 0; index < 3; index += 1) await sockets.open();
  sockets.use(0);
  sockets.use(1);
  sockets.use(0);
  await sockets.open();
  assert.deepEqual(sockets.isOpen(), [true, true, false, true], 'the one that never carried a request');
  sockets.use(3);
  await sockets.open();
  assert.deepEqual(sockets.isOpen(), [true, false, false, true, true], 'the one used longest ago');
  assert.equal((await evicted()) - before, 2);
});

test('a connection that has ended makes place without closing another', async (t) => {
  const sockets = await opener(boundConnections(2));
  t.after(() => sockets.close());
  await sockets.open();
  await sockets.open();
  const [first] = sockets.accepted;
  first?.destroy();
  await eventually('it has closed', () => first?.closed);
  await sockets.open();
  assert.deepEqual(sockets.isOpen(), [false, true, true]);
});

test('those that never carried a request are closed together, the others stay', async (t) => {
  const connections = boundConnections(10);
  const sockets = await opener(connections);
  t.after(() => sockets.close());
  for (let index = 0; index < 3; index += 1) await sockets.open();
  sockets.use(1);
  connections.closeUnused();
  assert.deepEqual(sockets.isOpen(), [false, true, false]);
});
