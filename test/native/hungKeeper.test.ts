import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openGate } from '../../src/native/gate.ts';
import { speech } from '../../src/native/greeting.ts';
import { eventually } from '../support/programs.ts';

const limits = { welcomeMs: 1_000, endMs: 200 };
const nothing = () => undefined;

/** What listens as a keeper does, welcomes the first `welcomed` agents, and else takes what is said and says nothing. */
async function hungKeeper(t: TestContext, welcomed: number) {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-hung-'));
  const socket = join(folder, 'keeper.sock');
  const connections: Socket[] = [];
  // As a process that is stopped, it does not answer the end of a connection either.
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    connection.on('error', nothing).resume();
    if (connections.push(connection) <= welcomed) welcome(connection);
  }).listen(socket);
  const welcome = (connection: Socket): void => {
    const text = Buffer.from(JSON.stringify({ type: 'welcome', pid: 1, speech }));
    const head = Buffer.alloc(4);
    head.writeUInt32LE(text.length);
    connection.write(Buffer.concat([head, text]));
  };
  t.after(async () => {
    for (const connection of connections) connection.destroy();
    server.close();
    await rm(folder, { recursive: true });
  });
  const failures: string[] = [];
  const open = () =>
    openGate(
      {
        ...({ mode: 'enforce', holdMs: 100, onUnknown: 'allow' } as const),
        ...{ onContainer: nothing, onFirstExec: nothing, onContainerGone: nothing, onEvents: nothing },
        onFailure: (failure, _count, detail) => failures.push(`${failure}: ${detail}`),
      },
      { how: 'join', socket },
      limits,
    );
  return { connections, failures, open, welcome };
}

test('a keeper that takes a greeting and says nothing is an error, and not waited for', async (t) => {
  const { open } = await hungKeeper(t, 0);
  await assert.rejects(open(), {
    code: 'KEEPER_UNREACHABLE',
    message: 'the keeper says nothing within 1000 ms',
  });
});

for (const way of ['leave', 'close'] as const) {
  test(`a keeper that hangs does not keep an agent that wants to ${way}`, async (t) => {
    const { open, failures } = await hungKeeper(t, 1);
    const gate = await open();
    await gate[way]();
    assert.deepEqual(failures, ['keeper_lost: it did not let go within 200 ms']);
    await gate[way]();
  });
}

test('an agent that ends while it comes to a keeper that hangs waits no longer than for its end', async (t) => {
  const { open, connections, failures } = await hungKeeper(t, 1);
  const gate = await open();
  connections[0]?.destroy();
  await eventually('it comes again', () => connections.length === 2);
  const started = performance.now();
  await gate.close();
  const ms = performance.now() - started;
  assert.ok(ms > 150 && ms < 600, `${ms} ms`);
  assert.equal(failures.length, 1);
});

test('an agent that ends while it comes to a keeper has its gate closed', async (t) => {
  // This one is slow: it welcomes the agent that comes again when that is about to end.
  const { open, connections, welcome } = await hungKeeper(t, 1);
  const gate = await open();
  connections[0]?.destroy();
  const again = await eventually('it comes again', () => connections[1]);
  const closing = gate.close();
  const said = new Promise<string>((resolve) => again.on('data', (bytes) => resolve(bytes.toString())));
  welcome(again);
  assert.match(await said, /C$/);
  again.destroy();
  await closing;
});
