/** Programs of the image that were only touched run, after they were compared with the image's: once, and nobody waits for others. */

import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { classesOf, SchedulingClass } from '../support/scheduling.ts';
import { fileTable, type TestGate, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
const largeBytes = 64 << 20;
const large = Array.from({ length: 8 }, (_, at) => `/opt/busybox-large${at}`);
const small = '/opt/busybox-small';
let host: ContainerHost;

before(async () => {
  if (skip !== undefined) return;
  host = await gateHost();
  const image = join(host.folder, 'image');
  await mkdir(join(image, 'opt'));
  for (const path of [...large, small]) await copyFile('/bin/busybox', join(image, path));
  // What follows is a hole, which takes no room on the disk and as long to be compared.
  for (const path of large) await truncate(join(image, path), largeBytes);
});
after(() => host?.close());

interface Made {
  readonly gate: TestGate;
  readonly keeper: number;
  readonly containers: Container[];
}

/** A gate, and containers whose programs below /opt are copies of the image's. */
async function touched(t: TestContext, ...names: string[]): Promise<Made> {
  const ids = names.map((name) => `${containerPrefix}${process.pid}-comparing-${name}`);
  const table = fileTable(['createExecutable', 'modifyExecutable'], ['/opt/**'], ['alert', 'block']);
  const gate = await testGate({ tables: Object.fromEntries(ids.map((id) => [id, table])) });
  t.after(gate.close);
  const containers: Container[] = [];
  for (const id of ids) {
    const container = await host.startRunc({ id });
    t.after(container.remove);
    assert.equal((await container.sh('touch /opt/*')).exitCode, 0);
    containers.push(container);
  }
  const [keeper = 0] = await keepersOf(gate.pid);
  return { gate, keeper, containers };
}

/** Executes all of them at once. Each that has run leaves a line in /tmp/ran. */
const allAtOnce = (paths: string[]) =>
  `for each in ${paths.join(' ')}; do { $each true && echo x >> /tmp/ran; } & done; wait`;

async function ranIn({ id }: Container): Promise<number> {
  const text = await readFile(join(host.folder, id, 'upper/tmp/ran'), 'utf8').catch(() => '');
  return text.split('\n').length - 1;
}

/** How much the process has read. */
async function readBy(pid: number): Promise<number> {
  return Number(/^rchar: (\d+)/.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

test('a container with many large programs keeps no other one waiting', { skip }, async (t) => {
  const { keeper, containers } = await touched(t, 'busy', 'other');
  const [busy, other] = containers as [Container, Container];
  const running = busy.sh(allAtOnce(large));
  await eventually('it is compared', async () => (await classesOf(keeper, 'd4c-comparing')).length > 0);
  const start = performance.now();
  assert.equal((await other.exec(small, 'true')).exitCode, 0);
  const took = performance.now() - start;
  const before = await ranIn(busy);
  assert.equal((await running).exitCode, 0);
  t.diagnostic(`${Math.round(took)} ms, ${Math.round(performance.now() - start)} ms for all`);
  assert.deepEqual([before < large.length / 2, await ranIn(busy)], [true, large.length], `${before} ran`);
  // They share the processors with those who answer, who go first.
  for (const each of await classesOf(keeper, 'd4c-comparing')) assert.equal(each, SchedulingClass.ordinary);
});

test('a program is compared once, and again when it has changed', { skip }, async (t) => {
  const { keeper, containers } = await touched(t, 'once');
  const [container] = containers as [Container];
  const [path = ''] = large;
  const readBefore = await readBy(keeper);
  await container.sh(allAtOnce(Array.from({ length: 5 }, () => path)));
  assert.equal((await container.exec(path, 'true')).exitCode, 0);
  const read = (await readBy(keeper)) - readBefore;
  assert.ok(read >= 2 * largeBytes && read < 3 * largeBytes, `${read} bytes`);
  await truncate(join(host.folder, container.id, 'upper', path), largeBytes - 1);
  assert.notEqual((await container.exec(path, 'true')).exitCode, 0);
  assert.equal(await ranIn(container), 5);
});
