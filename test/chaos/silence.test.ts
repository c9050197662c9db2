/** An agent that hangs is as good as none, is told of, and takes up where it was. Versions that do not go together do not begin. */

import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { frameOf, frameReader } from '../../src/native/frames.ts';
import { openGate } from '../../src/native/gate.ts';
import { speech } from '../../src/native/greeting.ts';
import { readKeeperStatus } from '../../src/native/keeperStatus.ts';
import { startAgent } from '../support/agent.ts';
import type { ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { keeperIn } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { fileTable, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const newId = () => `${containerPrefix}${process.pid}-silence-${++count}`;
const blockPasswd = fileTable(['modifyFile'], ['/etc/passwd'], ['alert', 'block']);
const silenceMs = 500;

/** A keeper of its own, an agent that soon counts as silent, and a container whose table refuses writing one file. */
async function setUp(t: TestContext) {
  const keeper = keeperIn(await mkdtemp(join(host.folder, 'keeper-')));
  t.after(() => keeper.end());
  const [id, later] = [newId(), newId()];
  const options = { silenceMs, onAgentLoss: 'deny', holdMs: 300 } as const;
  const tables = { [id]: blockPasswd, [later]: blockPasswd };
  const agent = await testGate({ tables, options, place: { how: 'start', socket: keeper.socket } });
  t.after(agent.close);
  const container = await host.startRunc({ id });
  t.after(container.remove);
  const write = (path: string) => opener(container, 'open', path, '644', 'CREAT', 'WRONLY');
  assert.deepEqual([await write('/etc/passwd'), await write('/tmp/other')], ['EPERM', 'ok']);
  const status = () => readKeeperStatus(keeper.socket);
  return { keeper, agent, later, write, status };
}

describe('an agent that is connected and does not answer', { skip }, () => {
  test('counts as absent until it answers, and then knows all that happened', async (t) => {
    const { agent, later, write, status } = await setUp(t);
    process.kill(agent.pid, 'SIGSTOP');
    await eventually('it is missed', async () => !(await status()).hasAgent);
    assert.ok(((await status()).silentMs ?? 0) >= silenceMs);
    assert.equal((await status()).gate?.failures.agent_silent, 1);
    // What `--on-agent-loss deny` makes of a rule that speaks of another file.
    assert.equal(await write('/tmp/other'), 'EPERM');
    const meanwhile = host.startRunc({ id: later });
    const container = await meanwhile;
    t.after(container.remove);
    process.kill(agent.pid, 'SIGCONT');
    await eventually('it is back', async () => (await status()).hasAgent);
    assert.equal((await status()).silentMs, undefined);
    assert.equal(await write('/tmp/other'), 'ok');
    assert.ok(agent.failures.some(({ failure }) => failure === 'agent_silent'));
    const { decidedBy } = await agent.event(({ path }) => path === '/tmp/other');
    assert.equal(decidedBy, 'agentLoss');
    await agent.keyOf(later);
    assert.deepEqual(agent.gone, []);
    await eventually(
      'what started meanwhile is gated',
      async () => (await opener(container, 'open', '/etc/passwd', '0', 'WRONLY')) === 'EPERM',
    );
  });

  test('may hang by itself, and is not missed for a shorter moment', async (t) => {
    const { agent, status } = await setUp(t);
    await agent.ask({ type: 'stall', ms: silenceMs / 2 });
    assert.equal((await status()).gate?.failures.agent_silent, undefined);
    const stalling = agent.ask({ type: 'stall', ms: 3 * silenceMs });
    await eventually('it is missed', async () => !(await status()).hasAgent);
    await stalling;
    await eventually('it is back', async () => (await status()).hasAgent);
  });
});

test('an agent is missed after `--silence-ms`, which the status says', { skip }, async (t) => {
  const own = await mkdtemp(join(host.folder, 'keeper-'));
  const keeper = keeperIn(own);
  const agent = await startAgent(own, {}, ...keeper.flags, '--silence-ms', String(silenceMs));
  t.after(async () => {
    await agent.stop('SIGKILL');
    await keeper.end();
  });
  const status = () => readKeeperStatus(keeper.socket);
  assert.equal((await status()).settings?.silenceMs, silenceMs);
  process.kill(agent.pid, 'SIGSTOP');
  // The default is twice as long as this waits.
  await eventually('it is missed', async () => !(await status()).hasAgent);
});

describe('an agent of another version', { skip }, () => {
  test('is refused, and the one that is understood goes on', async (t) => {
    const { keeper, agent, write, status } = await setUp(t);
    const said = await new Promise<unknown>((resolve, reject) => {
      const read = frameReader();
      const socket = connect(keeper.socket, () => socket.write(frameOf('H', Buffer.from('speech=0.9\0'))));
      socket.on('data', (chunk) => resolve(read(chunk)[0])).on('error', reject);
    });
    assert.deepEqual(said, {
      type: 'refused',
      code: 'KEEPER_VERSION',
      message: `the keeper speaks ${speech}, and the agent 0.9`,
    });
    assert.ok((await status()).hasAgent);
    assert.equal(await write('/etc/passwd'), 'EPERM');
    assert.ok((await agent.stats()).denied >= 2);
  });

  test('says what to do, whichever of the two is older', async (t) => {
    for (const [index, answer] of [
      { type: 'welcome', pid: 1 },
      { type: 'welcome', pid: 1, speech: '7.7' },
      { type: 'refused', code: 'KEEPER_VERSION', message: `the keeper speaks 7.7, and the agent ${speech}` },
    ].entries()) {
      const socket = join(host.folder, `other-${index}.sock`);
      const keeper = createServer((connection) => {
        const text = Buffer.from(JSON.stringify(answer));
        const head = Buffer.alloc(4);
        head.writeUInt32LE(text.length);
        connection.on('error', () => undefined).write(Buffer.concat([head, text]));
      }).listen(socket);
      t.after(() => keeper.close());
      const nothing = () => undefined;
      const opening = openGate(
        {
          ...({ mode: 'enforce', holdMs: 100, onUnknown: 'allow' } as const),
          ...{ onContainer: nothing, onFirstExec: nothing, onContainerGone: nothing },
          ...{ onEvents: nothing, onFailure: nothing },
        },
        { how: 'join', socket },
      );
      await assert.rejects(opening, {
        code: 'KEEPER_VERSION',
        message:
          /^the keeper speaks .*, and the agent .*: they are of versions that do not go together; replace the older/,
      });
    }
  });
});
