/** What is done while no keeper is there, and what docs/limits.md says becomes of it. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateRequirements, hostWithKeeper } from '../support/gateHost.ts';
import type { GateSetUp } from '../support/gateProcess.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { testGate } from '../support/testGate.ts';
import { gaps } from './cases.ts';
import { ruleTables } from './tables.ts';

test('a keeper that is killed lets go of whoever waits, and the next one takes up what runs', {
  skip: gateRequirements(),
}, async (t) => {
  const { host, keeper } = await hostWithKeeper(t);
  const idOf = (index: number) => `${containerPrefix}${process.pid}-gap${index}`;
  const heldId = idOf(gaps.length);
  const tables = Object.fromEntries(gaps.map(({ rule }, index) => [idOf(index), ruleTables[rule]()]));
  const setUp: Partial<GateSetUp> = {
    tables,
    publish: 'never',
    options: { holdMs: 60_000, onUnknown: 'deny' },
    place: { how: 'start', socket: keeper.socket },
  };
  const first = await testGate(setUp);
  t.after(first.close);
  const containers = await Promise.all(
    gaps.map(async (_, index) => {
      const starting = host.startRunc({ id: idOf(index) });
      const key = await first.keyOf(idOf(index));
      await first.ask({ type: 'publish', key, table: tables[idOf(index)] ?? null, generation: 1 });
      return await starting;
    }),
  );
  for (const { remove } of containers) t.after(remove);
  const held = host.runRunc({ id: heldId, args: ['/bin/echo', 'ran'] });
  await eventually('somebody waits', () => first.firstExecs.find(({ id }) => id === heldId));
  // With its agent, so that none starts another one at once.
  await first.kill();
  await keeper.end('SIGKILL');
  assert.equal((await held).stdout, 'ran\n');
  for (const [index, { meanwhile, way }] of gaps.entries()) {
    const container = containers[index];
    assert.ok(container !== undefined && (await meanwhile(container)), `in the gap ${way}`);
  }
  const next = await testGate({ ...setUp, publish: 'found' });
  t.after(next.close);
  for (const [index, { afterwards, way, succeeds }] of gaps.entries()) {
    await t.test(way, async () => {
      const container = containers[index];
      assert.ok(container);
      const key = await next.keyOf(container.id);
      assert.equal(next.containers.find((found) => found.key === key)?.mayRun, true);
      await next.ask({ type: 'adopt', key, pid: container.pid });
      assert.equal(await afterwards(container), succeeds);
    });
  }
});
