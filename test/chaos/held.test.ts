/** What a container can make take for ever keeps nobody from learning of what others change. */

import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements, opener, putProgram } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { bind } from '../support/runcConfig.ts';
import { fileTable, type TestGate, testGate } from '../support/testGate.ts';
import { wchansOf } from '../support/waits.ts';

const skip = gateRequirements();
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip !== undefined) return;
  host = await gateHost();
  await putProgram(host, 'attacker', join(import.meta.dirname, '../bypass/attacker.c'));
});
after(() => host?.close());

/** A gate that logs what is made, and two containers: one that holds what it can, and another one. */
async function gated(t: TestContext): Promise<{ gate: TestGate; holding: Container; other: Container }> {
  const [first, second] = ['holding', 'other'].map(
    (name) => `${containerPrefix}${process.pid}-${name}-${++count}`,
  );
  const table = fileTable(['createFile'], ['/tmp/**', '/mnt/**', '/data/**'], ['log']);
  const gate = await testGate({ tables: { [`${first}`]: table, [`${second}`]: table } });
  t.after(gate.close);
  const start = async (id: string | undefined, capabilities: string[]): Promise<Container> => {
    const volumes = [bind(await mkdtemp(join(host.folder, 'volume-')), '/data')];
    const container = await host.startRunc({ id: `${id}`, capabilities, volumes });
    t.after(container.remove);
    return container;
  };
  const holding = await start(first, ['CAP_SYS_ADMIN']);
  return { gate, holding, other: await start(second, []) };
}

describe('what others change is told', { skip }, () => {
  test('while a task keeps whoever opens a folder of its filesystem', async (t) => {
    const { gate, holding, other } = await gated(t);
    await holding.sh('mkdir -p /mnt/deaf; /bin/attacker deaf /mnt/deaf > /dev/null 2>&1 &');
    const [keeper = 0] = await keepersOf(gate.pid);
    await eventually('it is opened', async () => (await wchansOf(keeper)).includes('fanotify_handle_event'));
    for (const path of ['/tmp/one', '/data/two']) {
      assert.equal(await opener(other, 'mknod', path, '644'), 'ok');
      await gate.event((event) => event.path === path);
    }
    // Also what happens there, where nobody could look around, which is counted.
    assert.equal(await opener(holding, 'mknod', '/mnt/deaf/three', '644'), 'ok');
    await gate.event(({ path }) => path === '/mnt/deaf/three');
    assert.ok(
      gate.failures.some(
        ({ failure, detail }) => failure === 'changes_unseen' && detail.includes('/mnt/deaf'),
      ),
    );
  });
});
