/** The keeper as a process, without a container: who connects to it, and how it ends. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as passing } from 'node:timers/promises';
import { frameOf, number } from '../../src/native/frames.ts';
import { speech } from '../../src/native/greeting.ts';
import { keeperProgram } from '../../src/native/keeperProgram.ts';
import { readKeeperStatus } from '../../src/native/keeperStatus.ts';
import { gateRequirements } from '../support/gateHost.ts';
import { keeperIn, takeDescriptors } from '../support/keeper.ts';
import { eventually, isInstalled } from '../support/programs.ts';
import { testGate } from '../support/testGate.ts';

const skip = gateRequirements() ?? (isInstalled('prlimit') ? undefined : 'needs prlimit');

/** A keeper with a gate, and the connection of the agent that has opened it and reads nothing. */
async function setUp(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-keeper-'));
  const keeper = keeperIn(folder);
  const { socket } = keeper;
  const program = spawn('timeout', ['60', keeperProgram(), '--socket', socket], { stdio: 'ignore' });
  const ended = once(program, 'exit');
  t.after(async () => {
    program.kill();
    await ended;
    await rm(folder, { recursive: true });
  });
  const status = () => readKeeperStatus(socket);
  const { pid } = await eventually('it answers', () => status().catch(() => undefined));
  const agent = connect(socket).on('error', () => undefined);
  t.after(() => agent.destroy());
  agent.write(frameOf('H', Buffer.from(`holdMs=1000\0onUnknown=allow\0speech=${speech}\0`)));
  await eventually('it has a gate', async () => (await status()).gate);
  return { pid, agent, ended, status, keeper };
}

/** For how long the thread that speaks with agents has had a processor, in milliseconds. */
async function computedMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/task/${pid}/stat`, 'utf8');
  const [user, system] = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 14).map(Number);
  return ((user ?? 0) + (system ?? 0)) * 10;
}

test('a keeper without descriptors lets who connects wait, does not compute meanwhile, and counts it', {
  skip,
}, async (t) => {
  const { pid, status } = await setUp(t);
  const giveBack = await takeDescriptors(pid);
  const answer = status();
  const before = await computedMs(pid);
  await passing(600);
  const computed = (await computedMs(pid)) - before;
  await giveBack();
  assert.ok(computed <= 100, `it computed for ${computed} of 600 ms`);
  assert.ok(((await answer).gate?.failures.connection_delayed ?? 0) >= 3);
});

test('a keeper that is told to end waits two seconds for an agent that takes nothing, whatever that says', {
  skip,
}, async (t) => {
  const { pid, agent, ended, status } = await setUp(t);
  const question = frameOf('S', number(1, 4));
  await new Promise((resolve) => agent.write(Buffer.concat(Array(5000).fill(question)), resolve));
  await status();
  const since = performance.now();
  process.kill(pid, 'SIGTERM');
  await passing(1500);
  agent.write(frameOf('B'));
  await ended;
  const took = performance.now() - since;
  assert.ok(took > 1900 && took < 3000, `it ended after ${took} ms`);
});

test('a keeper does not take a number that does not fit for another one', { skip }, async (t) => {
  const { agent, keeper } = await setUp(t);
  for (const setting of ['holdMs=4294967297', 'holdMs=-1', 'maxGroups=18446744073709551617', 'holdMs=1.5']) {
    const other = connect(keeper.socket).on('error', () => undefined);
    t.after(() => other.destroy());
    let said = '';
    other.on('data', (data) => {
      said += data;
    });
    const closed = once(other, 'close');
    other.write(frameOf('H', Buffer.from(`${setting}\0speech=${speech}\0`)));
    await Promise.race([closed, passing(2000)]);
    assert.deepEqual([said, other.closed], ['', true], setting);
  }
  assert.ok(!agent.destroyed, 'the agent that was there has stayed');
});

test('an agent that comes to a keeper that is being killed starts the next one', { skip }, async (t) => {
  const { pid, keeper } = await setUp(t);
  t.after(() => keeper.end());
  const connections = async () => (await readFile('/proc/net/unix', 'utf8')).split(keeper.socket).length;
  const before = await connections();
  process.kill(pid, 'SIGSTOP');
  const coming = testGate({ place: { how: 'start', socket: keeper.socket } });
  await eventually('it waits to be let in', async () => (await connections()) > before);
  process.kill(pid, 'SIGKILL');
  const gate = await coming;
  t.after(gate.close);
  assert.notEqual(await keeper.pid(), pid);
  assert.ok(await keeper.isAlive());
});
