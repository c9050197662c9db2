/** A number that one process had and another one has: of neither is told what the other was. */

import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { ContainerHost } from '../support/containers.ts';
import { leaveNoDescriptor } from '../support/detainer.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { eventually } from '../support/programs.ts';
import { buildStopper, stopperRequirements } from '../support/stopper.ts';
import { tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements() ?? (await stopperRequirements());
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const first = '/usr/bin/linked';
const programs = (operation: string[], paths: string[]) => ({
  selectors: [{ name: 'programs', operation, processExecutable: paths }],
  responses: [{ match: ['programs'], actions: ['log'] }],
});
const deletions = {
  selectors: [{ name: 'files', operation: ['deleteFile'], targetFilePath: ['/tmp/removed'] }],
  responses: [{ match: ['files'], actions: ['log'] }],
};

/** A process has executed the first program and ended. `again`: another one gets its number. */
async function numberOf(t: TestContext, policy: object) {
  const id = host.nextId();
  const gated = await testGate({ tables: { [id]: tableOf(policy) } });
  t.after(gated.close);
  const container = await host.startRunc({ id, sharesProcesses: true, capabilities: ['CAP_SYS_ADMIN'] });
  t.after(container.remove);
  const [keeper = 0] = await keepersOf(gated.pid);
  const fileOf = (name: string) => join(host.folder, id, 'rootfs/tmp', name);
  await writeFile(fileOf('removed'), '');
  const line = `/bin/opener reborn ${first} /tmp/go /tmp/removed > /tmp/number`;
  const running = container.sh(line);
  t.after(() => running);
  t.after(() => rm(fileOf('go'), { force: true }));
  const said = () => readFile(fileOf('number'), 'utf8').catch(() => '');
  const number = await eventually('its number is said', async () => Number(await said()) || undefined);
  return { gated, keeper, number, again: () => writeFile(fileOf('go'), '') };
}

/** While this thread of the keeper stands still, the next process with the number comes and ends. */
async function missIt(t: TestContext, one: Awaited<ReturnType<typeof numberOf>>, thread: string) {
  const stopper = await buildStopper(host.folder);
  const { letGo } = await stopper.stop(one.keeper, thread, 30_000);
  t.after(letGo);
  await one.again();
  await eventually('it has ended', async () =>
    (await readFile(`/proc/${one.number}/stat`, 'utf8').catch(() => '')).includes(') Z '),
  );
  await letGo();
}

test('a fork by a process that executed nothing is not one by the program of who had its number before', {
  skip,
}, async (t) => {
  for (const operations of [['fork'], ['fork', 'exec']]) {
    const one = await numberOf(t, { process: programs(operations, [first, '/bin/opener']) });
    await missIt(t, one, 'd4c-forks');
    const { path } = await one.gated.event(
      ({ kind, process }) => kind === 'fork' && process.parentPid === one.number,
    );
    assert.equal(path, '/bin/opener', operations.join());
  }
});

test('a change by a process that executed nothing is not one by the program of who had its number before', {
  skip,
}, async (t) => {
  const one = await numberOf(t, { file: deletions });
  await missIt(t, one, 'd4c-changes');
  const { process } = await one.gated.event(({ path }) => path === '/tmp/removed');
  assert.deepEqual([process.pid, process.executable], [one.number, '']);
});

test('a parent that cannot be looked at is not told as who had its number before', { skip }, async (t) => {
  const one = await numberOf(t, { process: programs(['exec'], [first]) });
  const before = await one.gated.event(({ process }) => process.args[1] === 'before');
  assert.equal(before.process.pid, one.number);
  const suffix = `/${one.number}/stat`;
  const { letGo } = await leaveNoDescriptor(t, host.folder, one.keeper, { thread: 'd4c-reader', suffix });
  await one.again();
  const { process, parent } = await one.gated.event(({ process: { args } }) => args[1] === 'after');
  await letGo();
  assert.equal(process.parentPid, one.number);
  assert.equal(parent, undefined);
});
