/** Programs without a file are forbidden in the right containers, also when it does not come off at once. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { detainChild, leaveNoDescriptor } from '../support/detainer.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { eventually } from '../support/programs.ts';
import { stopperRequirements } from '../support/stopper.ts';
import { execTable, fileTable, type TestGate, testGate } from '../support/testGate.ts';

const setting = '/proc/sys/vm/memfd_noexec';
const noSetting = existsSync(setting) ? undefined : 'needs Linux 6.3 (vm.memfd_noexec)';
const skip = gateRequirements() ?? noSetting ?? (await stopperRequirements());
const blocks = fileTable(['createExecutable'], ['/**'], ['alert', 'block']);
const logs = execTable(['/none'], ['log']);
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

async function start(t: TestContext, id = host.nextId()): Promise<Container> {
  const container = await host.startRunc({ id });
  t.after(container.remove);
  return container;
}

async function gateOf(
  t: TestContext,
  id: string,
  table: string,
  publish: 'found' | 'firstExec',
): Promise<TestGate> {
  const gated = await testGate({ publish, tables: { [id]: table }, options: { memfdNoexec: true } });
  t.after(gated.close);
  return gated;
}

/** The process whose command line this is. */
async function processOf(line: string): Promise<number | undefined> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const args = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (args.split('\0').join(' ').trim() === line) return Number(pid);
  }
  return undefined;
}

const runWithoutFile = (container: Container) => opener(container, 'memory', '/bin/busybox', 'echo', 'ran');
const leaveNone = (t: TestContext, keeper: number, suffix: string) =>
  leaveNoDescriptor(t, host.folder, keeper, { thread: 'd4c-reader', suffix });
const failureOf = ({ failures }: TestGate) =>
  failures.find(({ failure }) => failure === 'memfd_not_forbidden')?.detail;

for (const { title, disturb, detail } of [
  {
    title: 'where there was no descriptor for it, they are forbidden at a later exec',
    disturb: (t: TestContext, keeper: number) => leaveNone(t, keeper, '/ns/pid'),
    detail: 'its pid namespace: Too many open files',
  },
  {
    title: 'what writes is not waited for where it cannot be seen to end',
    disturb: (t: TestContext, keeper: number) => leaveNone(t, keeper, 'child'),
    detail: 'writing in its pid namespace: Too many open files',
  },
  {
    title: 'what writes and does not come to an end in time is started again at a later exec',
    disturb: (t: TestContext, keeper: number) => detainChild(t, host.folder, keeper),
    detail: 'writing in its pid namespace: Connection timed out',
  },
]) {
  test(title, { skip }, async (t) => {
    const id = host.nextId();
    const gated = await gateOf(t, id, logs, 'firstExec');
    const container = await start(t, id);
    const [keeper = 0] = await keepersOf(gated.pid);
    const { letGo } = await disturb(t, keeper);
    await gated.ask({ type: 'publish', key: await gated.keyOf(id), table: blocks, generation: 2 });
    assert.equal(await runWithoutFile(container), 'ran');
    await eventually('it is counted', () => failureOf(gated));
    assert.equal(failureOf(gated), detail);
    await letGo();
    assert.equal(await runWithoutFile(container), 'EACCES');
  });
}

test('where the process that is known has ended, they are forbidden at the next exec', {
  skip,
}, async (t) => {
  const container = await start(t);
  const gated = await gateOf(t, container.id, logs, 'found');
  const key = await gated.keyOf(container.id);
  const running = container.exec('/bin/sleep', '0.75');
  const pid = await eventually('it runs', () => processOf('/bin/sleep 0.75'));
  await gated.ask({ type: 'adopt', key, pid });
  await running;
  await gated.ask({ type: 'publish', key, table: blocks, generation: 2 });
  await eventually('it is counted', () => failureOf(gated));
  assert.match(failureOf(gated) ?? '', /^its pid namespace: No such/);
  assert.equal(await runWithoutFile(container), 'EACCES');
});

test('a process of another container, or of the host, is not taken for the container’s', {
  skip,
}, async (t) => {
  let ofHost: ChildProcess | undefined;
  // Before its root filesystem goes.
  t.after(() => ofHost?.kill());
  const container = await start(t);
  const other = await start(t);
  const gated = await gateOf(t, container.id, blocks, 'found');
  const key = await gated.keyOf(container.id);
  const rootfs = join(host.folder, container.id, 'rootfs');
  ofHost = spawn('chroot', [rootfs, '/bin/sleep', '20.75'], { stdio: 'ignore' });
  const ended = once(ofHost, 'exit');
  await eventually('it runs', () => processOf('/bin/sleep 20.75'));
  for (const pid of [other.pid, process.pid, ofHost.pid ?? 0]) {
    assert.equal(await gated.ask({ type: 'adopt', key, pid }), undefined);
  }
  ofHost.kill();
  await ended;
  assert.equal(await runWithoutFile(other), 'ran');
  const cgroup = String(await gated.ask({ type: 'adopt', key, pid: container.pid }));
  assert.match(await readFile(`/proc/${container.pid}/cgroup`, 'utf8'), new RegExp(`:${cgroup}$`, 'm'));
  assert.equal(await runWithoutFile(container), 'EACCES');
  assert.deepEqual(gated.failures, []);
});
