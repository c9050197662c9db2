/** The agent may be killed, stopped, replaced or closed: the keeper goes on, and nobody notices but the log. */

import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { startAgent, type TestAgent } from '../support/agent.ts';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { keeperIn } from '../support/keeper.ts';
import { eventually, must, run } from '../support/programs.ts';
import { sequencesIn } from '../support/sequences.ts';
import { sizes } from '../support/sizes.ts';

const skip = gateRequirements();
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const image = { 'org.opencontainers.image.ref.name': 'registry.example/kept:1' };
const policy = `
file:
  selectors: [{ name: passwd, operation: [modifyFile], targetFilePath: [/etc/passwd], containerImageName: [kept] }]
  responses: [{ match: [passwd], actions: [alert, block] }]
`;

/** A keeper, and agents that come and go with the same policies and output. */
async function setUp(t: TestContext, ...flags: string[]) {
  const own = await mkdtemp(join(host.folder, 'keeper-'));
  const keeper = keeperIn(own);
  const agents: TestAgent[] = [];
  const agent = async (...more: string[]): Promise<TestAgent> => {
    const socket = ['--containerd-socket', host.containerdSocket];
    const started = await startAgent(own, { policy }, ...socket, ...keeper.flags, ...flags, ...more);
    agents.push(started);
    return started;
  };
  t.after(async () => {
    for (const each of agents) await each.stop('SIGKILL');
    await keeper.end();
  });
  return { keeper, agent, sequences: sequencesIn(join(own, 'documents')) };
}

async function start(t: TestContext, agent: TestAgent): Promise<Container> {
  const container = await host.startRunc({ annotations: image });
  t.after(container.remove);
  await eventually('it is bound', () => agent.log().includes(`"container":"${container.id}"`));
  return container;
}

const isRefused = async (container: Container): Promise<boolean> =>
  (await opener(container, 'open', '/etc/passwd', '0', 'WRONLY')) === 'EPERM';

/** Opens what a rule denies until the time is over; all of them together. */
async function poll(container: Container, openers: number, ms: number) {
  const line = `for i in $(seq ${openers}); do /bin/opener poll /etc/passwd ${ms} WRONLY & done; wait`;
  const limitMs = ms + 20_000;
  const { stdout } = await must('runc', ['exec', container.id, '/bin/sh', '-c', line], { limitMs });
  const all = stdout
    .trim()
    .split('\n')
    .map((text) => text.split(' ').map(Number));
  assert.equal(all.length, openers);
  return {
    opens: all.reduce((sum, [opens = 0]) => sum + opens, 0),
    allowed: all.reduce((sum, [opens = 0, refused = 0]) => sum + opens - refused, 0),
    longestMs: Math.max(...all.map(([, , longest = 0]) => longest / 1000)),
  };
}

describe('an agent that is killed', { skip }, () => {
  test('every 2 seconds under 8 busy openers lets none pass and none wait', async (t) => {
    const { agent, sequences } = await setUp(t);
    let current = await agent();
    const container = await start(t, current);
    const ms = sizes.seconds * 1000;
    const polling = poll(container, 8, ms + 2_000);
    let kills = 0;
    for (const end = performance.now() + ms; performance.now() < end; kills++) {
      const next = performance.now() + 2_000;
      await current.stop('SIGKILL');
      current = await agent();
      await sequences();
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
    }
    const { opens, allowed, longestMs } = await polling;

    // Every refusal was told or its loss counted.
    let written = 0;
    let { denied = 0, eventsDropped = 0 } = await current.status();
    await eventually(
      'the last events are written',
      async () => {
        written = (await sequences()).size;
        ({ denied = 0, eventsDropped = 0 } = await current.status());
        return written + eventsDropped >= denied;
      },
      60_000,
    );
    t.diagnostic(
      `${kills} kills, ${opens} opens, ${allowed} allowed, longest wait ${longestMs} ms; ${written} documents, ${eventsDropped} counted as lost`,
    );
    assert.equal(allowed, 0);
    assert.ok(longestMs <= 300, `${longestMs} ms`);
    assert.ok(kills >= sizes.seconds / 4);
    assert.equal(written + eventsDropped, denied);
    assert.ok(written > 100);
  });

  test('hands what happens meanwhile to the next one, with the names of the policies of then', async (t) => {
    const { agent } = await setUp(t);
    const first = await agent();
    const container = await start(t, first);
    await first.stop('SIGKILL');
    assert.ok(await isRefused(container));
    await container.remove();
    const second = await agent();
    let documents = await second.documents();
    await eventually('it is written', async () => {
      documents = await second.documents();
      return documents.length > 0;
    });
    assert.equal(documents[0]?.container.id, container.id);
    assert.deepEqual(documents[0]?.container.image, { name: 'registry.example/kept', tag: ['1'] });
    assert.deepEqual(documents[0]?.cloud_defend.matched_selectors, ['passwd']);
    assert.deepEqual(documents[0]?.event.type, ['change', 'denied']);
  });

  test('leaves containers that start meanwhile waiting for the next one', async (t) => {
    const { agent } = await setUp(t, '--hold-ms', '20000', '--on-unknown', 'deny');
    await (await agent()).stop('SIGKILL');
    const starting = host.startRunc({ annotations: image });
    await agent();
    const container = await starting;
    t.after(container.remove);
    assert.ok(await isRefused(container));
  });

  for (const [verdict, refused] of [
    ['allow', [false, false]],
    ['deny', [true, true]],
    ['keep', [true, false]],
  ] as const) {
    test(`leaves it to --on-agent-loss ${verdict} until the next one comes`, async (t) => {
      const { agent } = await setUp(t, '--on-agent-loss', verdict);
      const first = await agent();
      const container = await start(t, first);
      const other = async () => (await container.sh('echo x > /etc/other')).exitCode !== 0;
      await first.stop('SIGKILL');
      assert.deepEqual([await isRefused(container), await other()], refused);
      await agent();
      assert.deepEqual([await isRefused(container), await other()], [true, false]);
    });
  }
});

describe('an agent that is stopped', { skip }, () => {
  test('keeps nobody waiting, and tells everything when it goes on', async (t) => {
    const { agent } = await setUp(t, '--hold-ms', '400');
    const stopped = await agent();
    const container = await start(t, stopped);
    process.kill(stopped.pid, 'SIGSTOP');
    const { allowed, opens, longestMs } = await poll(container, 4, 1_000);
    assert.equal(allowed, 0);
    assert.ok(longestMs <= 300, `${longestMs} ms`);
    const started = performance.now();
    assert.equal((await host.runRunc({ args: ['/bin/true'] })).exitCode, 0);
    assert.ok(performance.now() - started >= 400);
    process.kill(stopped.pid, 'SIGCONT');
    await eventually('all is told', async () => {
      const told = new Set((await stopped.documents()).map(({ event }) => event.sequence)).size;
      return told + ((await stopped.status()).eventsDropped ?? 0) >= opens;
    });
  });
});

describe('an agent that is told to end', { skip }, () => {
  test('ends the keeper', async (t) => {
    const { agent, keeper } = await setUp(t);
    const only = await agent();
    const container = await start(t, only);
    assert.equal(await only.stop('SIGTERM'), 0);
    assert.equal(await keeper.isAlive(), false);
    assert.equal(await isRefused(container), false);
  });

  test('leaves the gate with --keep-gate', async (t) => {
    const { agent, keeper } = await setUp(t);
    const only = await agent('--keep-gate');
    const container = await start(t, only);
    assert.equal(await only.stop('SIGTERM'), 0);
    assert.ok(await keeper.isAlive());
    assert.ok(await isRefused(container));
  });

  test('ends with an error when another one takes over', async (t) => {
    const { agent } = await setUp(t);
    const first = await agent();
    const container = await start(t, first);
    await agent();
    await eventually('it has ended', () => first.log().includes('KEEPER_TAKEN'));
    assert.equal(await first.stop('SIGTERM'), 2);
    assert.ok(await isRefused(container));
  });
});

describe('a keeper', { skip }, () => {
  test('that is killed lets everybody go, and its agent starts another one that gates again', async (t) => {
    const { agent, keeper } = await setUp(t, '--hold-ms', '60000');
    const only = await agent();
    const container = await start(t, only);
    // Nobody knows whose it is.
    const stateFolder = join(host.folder, 'elsewhere');
    const held = host.runRunc({ stateFolder, args: ['/bin/true'] });
    await eventually('somebody waits', async () => ((await only.status()).held ?? 0) > 0);
    const before = await keeper.pid();
    process.kill(before, 'SIGKILL');
    assert.equal((await held).exitCode, 0);
    await eventually('it gates again', async () => await isRefused(container));
    assert.notEqual(await keeper.pid(), before);
    assert.match(only.log(), /keeper_lost/);
    const said =
      /"isReady":(?:true|false),"reason":"no keeper answers[^\n]*\n(?:.*\n)*.*"isReady":true,"msg":"health"/;
    assert.match(only.log(), said);
  });

  test('cuts off what it does not understand, and nobody else', async (t) => {
    const { agent, keeper } = await setUp(t);
    const container = await start(t, await agent());
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([0, 0, 0, 0]),
      Buffer.from([1, 0, 0, 0, 0x50]),
      Buffer.from([3, 0, 0, 0, 0x50, 1, 2]),
      Buffer.from([255, 255, 255, 255]),
      Buffer.from([8, 0, 0, 0, 0x48, ...Buffer.from('mode=x\0')]),
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect(keeper.socket, () => socket.write(bytes));
        socket.on('error', () => undefined).on('close', () => resolve());
        socket.resume();
      });
    }
    assert.ok(await isRefused(container));
  });

  test('is for root alone', async (t) => {
    const { agent, keeper } = await setUp(t);
    await agent();
    const script = `require('net').connect('${keeper.socket}').on('error', (e) => console.log(e.code))`;
    await run('chmod', ['0777', keeper.socket, join(keeper.socket, '..'), host.folder]);
    const { stdout } = await run('setpriv', [
      ...['--reuid', '65534', '--regid', '65534', '--clear-groups'],
      ...[
        process.execPath,
        '-e',
        script.replace("on('error'", "on('close', () => console.log('closed')).on('error'"),
      ],
    ]);
    assert.match(stdout, /closed/);
  });
});
