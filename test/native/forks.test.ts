/** Forks and ends of processes of real containers, also where the keeper could not look or was too late. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as passing } from 'node:timers/promises';
import type { Container, ContainerHost } from '../support/containers.ts';
import { leaveNoDescriptor } from '../support/detainer.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keepersOf, takeDescriptors } from '../support/keeper.ts';
import { eventually, isInstalled, must } from '../support/programs.ts';
import { buildStopper, stopperRequirements } from '../support/stopper.ts';
import { type TestGate, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements() ?? (await stopperRequirements());
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const selectors = [
  { name: 'known', operation: ['fork', 'exec'], processExecutable: ['/bin/busybox', '/bin/opener'] },
  { name: 'forks', operation: ['fork'] },
];
const table = tableOf({
  process: { selectors, responses: [{ match: ['known', 'forks'], actions: ['log'] }] },
});

async function gateOf(t: TestContext, id: string, processEnds: boolean, publish: 'found' | 'firstExec') {
  const gated = await testGate({ publish, tables: { [id]: table }, options: { processEnds } });
  t.after(gated.close);
  const [keeper = 0] = await keepersOf(gated.pid);
  return { gated, keeper };
}

async function start(t: TestContext, id: string, line: string): Promise<Container> {
  const container = await host.startRunc({ id, args: ['/bin/sh', '-c', line] });
  t.after(container.remove);
  return container;
}

/** A container whose forks wait to be read from now on, until `letGo`. */
async function startUnheard(t: TestContext, line: string) {
  const id = host.nextId();
  const stopper = await buildStopper(host.folder);
  const { gated, keeper } = await gateOf(t, id, true, 'firstExec');
  const { pid } = await start(t, id, line);
  const { letGo } = await stopper.stop(keeper, 'd4c-forks', 30_000);
  t.after(letGo);
  return { id, gated, pid, letGo };
}

const fileOf = (id: string, name: string): string => join(host.folder, id, 'rootfs/tmp', name);
const put = (id: string, name: string) => writeFile(fileOf(id, name), '');
const forksBy = (gated: TestGate, pid: number) =>
  gated.events.filter(({ kind, process }) => kind === 'fork' && process.parentPid === pid);
const childrenOf = async (pid: number) =>
  (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').filter(Boolean).map(Number);
/** Of a program that forks now and then, and executes nothing. */
const forking = 'while :; do (:); i=0; while [ $i -lt 5000 ]; do i=$((i+1)); done; done';
/** A shell's function that waits for a file and starts nothing. */
const waiting = 'w() { while ! [ -e /tmp/$1 ]; do :; done; }';

describe('processes that ran before', { skip }, () => {
  for (const [what, suffix] of [
    ['processes', '/proc'],
    ['the cgroup of one', '/cgroup'],
  ] as const) {
    test(`are found later where ${what} could not be read for want of a descriptor, and that is counted`, async (t) => {
      const id = host.nextId();
      const container = await start(t, id, forking);
      const { gated, keeper } = await gateOf(t, id, false, 'found');
      const key = await gated.keyOf(id);
      await gated.stats();
      const { letGo } = await leaveNoDescriptor(t, host.folder, keeper, { thread: 'd4c-forks', suffix });
      await gated.ask({ type: 'adopt', key, pid: container.pid });
      const lost = await eventually('it is counted', () =>
        gated.failures.find(({ failure }) => failure === 'forks_lost'),
      );
      assert.match(lost.detail, /^processes that run cannot be looked for: Too many open files$/);
      assert.deepEqual(forksBy(gated, container.pid), []);
      await letGo();
      await eventually('its forks are told', () => forksBy(gated, container.pid)[0]);
    });
  }
});

test('where there was no descriptor to listen by, forks are told from the next table on', {
  skip: skip ?? (isInstalled('prlimit') ? undefined : 'needs prlimit'),
}, async (t) => {
  const id = host.nextId();
  const container = await start(t, id, forking);
  const gated = await testGate({ publish: 'never' });
  t.after(gated.close);
  const [keeper = 0] = await keepersOf(gated.pid);
  const key = await gated.keyOf(id);
  await gated.ask({ type: 'adopt', key, pid: container.pid });
  const giveBack = await takeDescriptors(keeper);
  await gated.ask({ type: 'publish', key, table, generation: 1 });
  await eventually('it is counted', () => gated.failures.find(({ failure }) => failure === 'forks_unseen'));
  await giveBack();
  assert.deepEqual(forksBy(gated, container.pid), []);
  await gated.ask({ type: 'publish', key, table, generation: 2 });
  await eventually('its forks are told', () => forksBy(gated, container.pid)[0]);
});

test('a fork is told as it was: by whom, and when', { skip }, async (t) => {
  const id = host.nextId();
  const { gated } = await gateOf(t, id, false, 'firstExec');
  const container = await start(t, id, 'sleep 1000');
  assert.equal((await container.exec('/bin/opener', 'demoted')).exitCode, 0);
  const { process } = await gated.event(({ process: { args } }) => args[1] === 'demoted');
  const forks = await eventually('two are told', () => {
    const all = forksBy(gated, process.pid);
    return all.length === 2 ? all : undefined;
  });
  assert.deepEqual(
    forks.map((fork) => [fork.process.euid, fork.process.egid]),
    [
      [0, 0],
      [1000, 1000],
    ],
  );
});

test('a fork that is read late, when the parent has ended, says when it was and whose the child is', {
  skip,
}, async (t) => {
  const line = `${waiting}; w go; ( (w never) & ); : > /tmp/gone; sleep 1000`;
  const { id, gated, pid, letGo } = await startUnheard(t, line);
  await put(id, 'go');
  // The first process of the container takes the child over.
  await eventually('the parent has ended', () => existsSync(fileOf(id, 'gone')));
  await passing(1000);
  const inits = await childrenOf(pid);
  const endedUs = Date.now() * 1000 - 900_000;
  await letGo();
  const { process, parent, timeUs, entryLeader, entryType } = await gated.event(
    (event) => event.kind === 'fork' && event.process.parentPid !== pid && inits.includes(event.process.pid),
  );
  assert.ok(timeUs < endedUs, `${timeUs} is not before ${endedUs}`);
  assert.equal(parent?.pid, process.parentPid);
  assert.deepEqual([process.sessionPid, entryLeader?.pid, entryType], [pid, pid, 'container']);
  const { timeUs: endedAtUs } = await gated.event(
    (event) => event.kind === 'end' && event.process.pid === parent?.pid,
  );
  assert.ok(endedAtUs < endedUs, `${endedAtUs} is not before ${endedUs}`);
});

test('a fork by a process that has ended is one by the program that it ran, and by no other', {
  skip,
}, async (t) => {
  const id = host.nextId();
  const of = (name: string, path: string) => ({ name, operation: ['fork'], processExecutable: [path] });
  const gated = await testGate({
    tables: {
      [id]: tableOf({
        process: {
          selectors: [of('other', '/usr/bin/linked'), of('shell', '/bin/busybox')],
          responses: [{ match: ['other', 'shell'], actions: ['log'] }],
        },
      }),
    },
  });
  t.after(gated.close);
  const container = await start(t, id, 'sleep 1000');
  // Most have ended before anybody can look: some were forked alone, some have executed a program.
  const line = `for i in $(seq 50); do ( (:; :) & ); sh -c '(:; :) &'; done; exit 0`;
  await container.sh(line);
  await eventually('they are told', () => gated.events.length > 150);
  const { policies } = (await gated.event(({ path }) => path === '/bin/busybox')) ?? {};
  for (const event of gated.events) {
    assert.deepEqual([event.path, event.policies], ['/bin/busybox', policies]);
  }
});

test('a process whose first thread has ended goes on, and its forks are told', { skip }, async (t) => {
  const id = host.nextId();
  const { gated } = await gateOf(t, id, false, 'firstExec');
  const container = await start(t, id, 'sleep 1000');
  const running = container.exec('/bin/opener', 'outlived', '/tmp/go', '3');
  const { process } = await gated.event(({ path, kind }) => path === '/bin/opener' && kind === 'exec');
  await eventually('its first thread has ended', async () =>
    (await readFile(`/proc/${process.pid}/stat`, 'utf8')).includes(') Z '),
  );
  await put(id, 'go');
  assert.equal((await running).exitCode, 7);
  await eventually('three forks are told', () => forksBy(gated, process.pid).length === 3);
});

test('a program that another than the first thread has executed ends when it ends', { skip }, async (t) => {
  const id = host.nextId();
  const { gated } = await gateOf(t, id, true, 'firstExec');
  const container = await start(t, id, 'sleep 1000');
  const line = 'sleep 0.3; exit 7';
  assert.equal((await container.exec('/bin/opener', 'threaded', '/bin/sh', '-c', line)).exitCode, 7);
  const { process } = await gated.event(({ process: { args } }) => args[2] === line);
  const ends = () =>
    gated.events.filter((event) => event.kind === 'end' && event.process.pid === process.pid);
  await eventually('its end is told', () => ends().length > 0);
  assert.deepEqual(
    ends().map(({ exitCode }) => exitCode),
    [7],
  );
});

test('more forks than are read in time are counted, and what was lost of them is made up for', {
  skip,
}, async (t) => {
  const line = `${waiting}; w fork; (w end) & w lost; (w again; (:); :) & wait; sleep 1000`;
  const { id, gated, pid, letGo } = await startUnheard(t, line);
  await put(id, 'fork');
  const [told = 0] = await eventually(
    'one forks',
    async () => (await childrenOf(pid)).length === 1 && childrenOf(pid),
  );
  await must(join(host.folder, 'image/bin/opener'), ['storm', '40000']);
  // Its fork waits to be read, and its end is lost, as is the fork of the next one.
  await put(id, 'end');
  await put(id, 'lost');
  const lost = await eventually('the next one forks', async () =>
    (await childrenOf(pid)).find((child) => child !== told),
  );
  await eventually('the first one has ended', async () => !(await childrenOf(pid)).includes(told));
  await letGo();
  const failure = await eventually('it is counted', () =>
    gated.failures.find((each) => each.failure === 'forks_lost'),
  );
  assert.equal(failure.detail, 'more than the buffer holds');
  const end = await gated.event((event) => event.kind === 'end' && event.process.pid === told);
  assert.equal(end.exitCode, undefined);
  assert.deepEqual(
    forksBy(gated, pid).map(({ process }) => process.pid),
    [told],
  );
  await put(id, 'again');
  await eventually('its fork is told', () => forksBy(gated, lost)[0]);
});
