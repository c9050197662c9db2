/**
 * The lives of gates, keepers and agents, and everything that can come between: a matrix. In each of its rows a container is
 * gated and opens what a rule denies, another one is held at its first exec, and then something happens. Afterwards nobody
 * sleeps, and the keeper holds no descriptor, thread or mark more than before, or is gone.
 */

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { frameOf } from '../../src/native/frames.ts';
import { speech } from '../../src/native/greeting.ts';
import { readKeeperStatus } from '../../src/native/keeperStatus.ts';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { type Holdings, holdings, isKeeperAlive, keeperIn, keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must, type Ran, run } from '../support/programs.ts';
import { fileTable, type TestGate, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
const blockPasswd = fileTable(['modifyFile'], ['/etc/passwd'], ['alert', 'block']);
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

interface Scene {
  readonly gate: TestGate;
  readonly keeperPid: number;
  readonly socket: string;
  /** Gated: a rule denies writing /etc/passwd. */
  readonly container: Container;
  readonly key: number;
  /** Waits at its first exec. */
  readonly heldId: string;
  readonly held: Promise<Ran>;
}

interface Row {
  readonly happens: string;
  /** Whose the keeper is: the agent's own, or one that outlives it. */
  readonly keeper: 'own' | 'apart';
  readonly act: (scene: Scene) => Promise<unknown>;
  /** For how long it is held at most (default: longer than the test). */
  readonly holdMs?: number;
  /** What becomes of the keeper. */
  readonly becomes: 'goes on' | 'ends';
  /** What becomes of the first exec that was held, when nobody publishes anything for it. */
  readonly held: 'runs' | 'is held' | 'is killed';
}

/** A connection that says something, and ends. Resolves when the keeper has closed it, or at once when `leaves`. */
function say(socket: string, bytes: Uint8Array, leaves = false): Promise<void> {
  return new Promise((resolve) => {
    const connection = connect(socket, () =>
      connection.write(bytes, () => {
        if (leaves) connection.destroy();
      }),
    );
    connection.on('error', () => undefined).on('close', () => resolve());
    connection.resume();
  });
}

const hello = frameOf('H', Buffer.from(`holdMs=60000\0onUnknown=deny\0speech=${speech}\0`));
const rows: readonly Row[] = [
  {
    happens: 'the gate is closed',
    keeper: 'own',
    act: ({ gate }) => gate.ask({ type: 'closeTwice' }),
    becomes: 'ends',
    held: 'runs',
  },
  {
    happens: 'the gate is closed and opened again, twice',
    keeper: 'own',
    async act({ gate, keeperPid }) {
      const { files, threads } = await holdings(gate.pid);
      for (let time = 0; time < 2; time++) await gate.ask({ type: 'reopen' });
      await eventually('its keeper is gone', async () => !(await isKeeperAlive(keeperPid)));
      const now = await holdings(gate.pid);
      assert.deepEqual([now.files <= files, now.threads <= threads], [true, true], 'in the agent');
      await gate.close();
    },
    becomes: 'ends',
    held: 'runs',
  },
  {
    happens: 'the gate is closed while tables are published',
    keeper: 'own',
    act: ({ gate, key }) => gate.ask({ type: 'publishAndClose', key, table: blockPasswd }),
    becomes: 'ends',
    held: 'runs',
  },
  {
    happens: 'the agent exits without closing the gate',
    keeper: 'own',
    act: ({ gate }) => gate.ask({ type: 'exit' }).catch(() => undefined),
    becomes: 'ends',
    held: 'runs',
  },
  {
    happens: 'the agent exits without closing the gate',
    keeper: 'apart',
    act: ({ gate }) => gate.ask({ type: 'exit' }).catch(() => undefined),
    becomes: 'goes on',
    held: 'is held',
  },
  {
    happens: 'a second gate comes, in a thread that closes it',
    keeper: 'own',
    act: ({ gate }) => gate.ask({ type: 'thread', end: 'close' }),
    becomes: 'goes on',
    held: 'is held',
  },
  {
    happens: 'a second gate comes, in a thread that is terminated',
    keeper: 'own',
    act: ({ gate }) => gate.ask({ type: 'thread', end: 'terminate' }),
    becomes: 'goes on',
    held: 'is held',
  },
  {
    happens: 'two gates of one process end with it',
    keeper: 'own',
    async act({ gate }) {
      await gate.ask({ type: 'thread', end: 'none' });
      const keepers = await keepersOf(gate.pid);
      assert.equal(keepers.length, 2);
      await gate.kill();
      for (const pid of keepers) await eventually('it ends', async () => !(await isKeeperAlive(pid)));
    },
    becomes: 'ends',
    held: 'runs',
  },
  {
    happens: 'the container is killed while it is held',
    keeper: 'apart',
    act: ({ heldId }) => run('runc', ['kill', heldId, 'KILL']),
    // The kernel does not tell that nobody waits any more, and the event's file keeps the root filesystem.
    holdMs: 3_000,
    becomes: 'goes on',
    held: 'is killed',
  },
  {
    happens: 'the root filesystem is unmounted while it is held',
    keeper: 'apart',
    async act({ heldId }) {
      const rootfs = join(host.folder, heldId, 'rootfs');
      await must('umount', ['--lazy', rootfs]);
      // Something to unmount for whoever removes the container.
      await must('mount', ['-t', 'tmpfs', 'tmpfs', rootfs]);
    },
    becomes: 'goes on',
    held: 'is held',
  },
  ...(['SIGTERM', 'SIGKILL'] as const).flatMap((signal): Row[] => [
    {
      happens: `the keeper gets ${signal} and its agent ends`,
      keeper: 'own',
      async act({ gate, keeperPid }) {
        process.kill(keeperPid, signal);
        await gate.kill();
      },
      becomes: 'ends',
      held: 'runs',
    },
    {
      happens: `the keeper gets ${signal} while no agent is there`,
      keeper: 'apart',
      async act({ gate, keeperPid }) {
        await gate.kill();
        process.kill(keeperPid, signal);
      },
      becomes: 'ends',
      held: 'runs',
    },
  ]),
  {
    happens: 'a storm of connections that say nothing, half a frame or too long a one',
    keeper: 'apart',
    async act({ socket }) {
      const all = [
        Buffer.alloc(0),
        hello.subarray(0, 3),
        hello.subarray(0, 9),
        Buffer.from([255, 255, 255, 127, 0x50]),
        Buffer.from([5, 0, 0, 0, 0x53, 1]),
      ];
      for (let time = 0; time < 10; time++) {
        await Promise.all(all.map((bytes) => say(socket, bytes, true)));
      }
      await say(socket, Buffer.from([1, 0, 0, 1]));
    },
    becomes: 'goes on',
    held: 'is held',
  },
  {
    happens: 'a storm of agents that come and go',
    keeper: 'apart',
    async act({ socket }) {
      const publish = frameOf('P', Buffer.alloc(40)).subarray(0, 12);
      for (let time = 0; time < 10; time++) {
        await Promise.all([
          say(socket, hello, true),
          say(socket, Buffer.concat([hello, publish]), true),
          say(socket, hello, true),
        ]);
      }
    },
    becomes: 'goes on',
    held: 'is held',
  },
];

async function setScene(t: TestContext, row: Row): Promise<Scene & { before: Holdings }> {
  const keeper = keeperIn(await mkdtemp(join(host.folder, 'keeper-')));
  t.after(() => keeper.end());
  const place =
    row.keeper === 'own' ? ({ how: 'off' } as const) : { how: 'start' as const, socket: keeper.socket };
  const id = `${containerPrefix}${process.pid}-life-${++count}`;
  const heldId = `${id}-held`;
  const gate = await testGate({
    publish: 'never',
    options: { holdMs: row.holdMs ?? 60_000, onUnknown: 'deny' },
    place,
  });
  t.after(() => gate.close().catch(() => gate.kill()));
  const starting = host.startRunc({ id });
  const key = await gate.keyOf(id);
  await gate.ask({ type: 'publish', key, table: blockPasswd, generation: 1 });
  const container = await starting;
  t.after(container.remove);
  assert.equal(await opener(container, 'open', '/etc/passwd', '0', 'WRONLY'), 'EPERM');
  const keeperPid = row.keeper === 'own' ? ((await keepersOf(gate.pid))[0] ?? 0) : await keeper.pid();
  const before = await holdings(keeperPid);
  const held = host.runRunc({ id: heldId, args: ['/bin/echo', 'ran'] });
  await eventually('it is held', () => gate.firstExecs.find((exec) => exec.id === heldId));
  return { gate, keeperPid, socket: keeper.socket, container, key, heldId, held, before };
}

describe('when a container opens and another one is held, and', { skip }, () => {
  const lines: string[] = [];
  for (const row of rows) {
    test(`${row.happens} (a keeper ${row.keeper === 'own' ? 'of its own' : 'apart'}), the keeper ${row.becomes} and the exec ${row.held}`, async (t) => {
      const scene = await setScene(t, row);
      const { container, held, keeperPid, heldId, gate, socket, before } = scene;
      let isDone = false;
      void held.finally(() => {
        isDone = true;
      });
      // Without a rest it would be for this that the row takes its time: each refusal is an event that is told.
      const visiting = opener(container, 'visit', '/etc/passwd', '/tmp/stop', 'WRONLY');
      await eventually('it opens', async () => (await gate.stats()).denied > 20);
      await row.act(scene);

      if (row.becomes === 'ends')
        await eventually('the keeper ends', async () => !(await isKeeperAlive(keeperPid)));
      const isAllowed = (await opener(container, 'open', '/etc/passwd', '0', 'WRONLY')) === 'ok';
      assert.equal(isAllowed, row.becomes === 'ends');
      if (row.held === 'is held') {
        assert.equal(isDone, false);
        // Who comes next is told of it.
        const next =
          row.keeper === 'own'
            ? gate
            : await testGate({
                publish: 'never',
                options: { holdMs: 60_000 },
                place: { how: 'start', socket },
              });
        if (next !== gate) t.after(next.close);
        await next.ask({ type: 'publish', key: await next.keyOf(heldId), table: null, generation: 2 });
      }
      const ran = await held;
      assert.equal(ran.stdout, row.held === 'is killed' ? '' : 'ran\n');
      await must('runc', ['exec', container.id, '/bin/mkdir', '/tmp/stop']);
      const [opens = 0, refused = 0] = (await visiting).split(' ').map(Number);
      assert.equal(opens > refused, row.becomes === 'ends');

      let left = 'nothing';
      if (row.becomes === 'goes on') {
        let now = before;
        await eventually('the keeper holds what it held', async () => {
          now = await holdings(keeperPid);
          return now.files <= before.files && now.threads <= before.threads && now.marks <= before.marks;
        }).catch((error: Error) => {
          throw new Error(`${error.message}: ${JSON.stringify(before)}, ${JSON.stringify(now)}`);
        });
        left = `${now.files} files, ${now.threads} threads, ${now.marks} marks`;
      }
      lines.push(`${row.happens} | ${row.keeper} | ${row.becomes} | ${row.held} | ${left}`);
    });
  }
  after(() => {
    process.stdout.write(
      `what happens | keeper | it then | held exec | left in the kernel\n${lines.join('\n')}\n`,
    );
  });
});

test('an event that is told when its container is gone has what was published for it', {
  skip,
}, async (t) => {
  const keeper = keeperIn(await mkdtemp(join(host.folder, 'keeper-')));
  t.after(() => keeper.end());
  const place = { how: 'start', socket: keeper.socket } as const;
  const ids = ['one', 'other'].map((name) => `${containerPrefix}${process.pid}-gone-${name}`);
  const gate = await testGate({ tables: Object.fromEntries(ids.map((id) => [id, blockPasswd])), place });
  t.after(gate.close);
  const containers = await Promise.all(ids.map((id) => host.startRunc({ id })));
  for (const container of containers) t.after(container.remove);
  const keys = await Promise.all(ids.map(gate.keyOf));
  // A container is found, and `runc` has ended, before its first exec was published.
  await eventually('they are published', async () => {
    const { gate: status } = await readKeeperStatus(keeper.socket);
    return keys.every((key) => status?.containers.some((each) => each.key === key && each.isPublished));
  });
  await gate.kill();
  // In turns, so that what was told for one is not what the next one needs.
  for (const container of [...containers, ...containers]) {
    assert.equal(await opener(container, 'open', '/etc/passwd', '0', 'WRONLY'), 'EPERM');
  }
  for (const container of containers) await container.remove();
  await eventually('they are gone', async () => {
    const { gate: status } = await readKeeperStatus(keeper.socket);
    return status !== undefined && !status.containers.some(({ key }) => keys.includes(key));
  });
  const next = await testGate({ place });
  t.after(next.close);
  await eventually('all are told', () => next.events.length === 4);
  assert.deepEqual(
    next.events.map(({ context }) => context),
    [...ids, ...ids].map((id) => `for ${id}`),
  );
  assert.ok(!next.containers.some(({ id }) => ids.includes(id)));
});

test('nothing of this process is left', { skip }, async () => {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || !(await isKeeperAlive(Number(pid)))) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    assert.ok(!command.includes(host.folder), command);
  }
});
