/** That a program which is not of the image is known for one whatever the machine's clock says. */

import assert from 'node:assert/strict';
import { copyFile, mkdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerHost } from '../support/containers.ts';
import { diskMissing, diskOf } from '../support/disk.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, must } from '../support/programs.ts';
import { fileTable, type TestGate, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
const debugfsMissing = isInstalled('debugfs') ? false : 'needs debugfs';
/** What was made that long before the clock was set is looked at; `kClockSeenNs` in upper.cc, less what a step takes. */
const clockSeenMs = 55_000;
const blockNew = fileTable(['createExecutable', 'modifyExecutable'], ['/**'], ['alert', 'block']);
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const idOf = (name: string): string => `${containerPrefix}${process.pid}-clock-${name}`;

/** A gate for the container of an ID that is given, in which new programs are refused. */
async function gate(t: TestContext, name: string): Promise<{ id: string; gated: TestGate }> {
  const id = idOf(name);
  const gated = await testGate({ publish: 'found', tables: { [id]: blockNew } });
  t.after(gated.close);
  return { id, gated };
}

/** A container whose upper directory seems to have been made then. */
async function startBornAt(t: TestContext, id: string, time: string) {
  const disk = await diskOf(t, host, id);
  await disk.mount();
  await mkdir(join(disk.folder, 'upper'));
  await disk.unmount();
  await must('debugfs', ['-w', '-R', `set_inode_field /upper crtime ${time}`, disk.device]);
  await disk.mount();
  const container = await host.startRunc({ id });
  const end = async () => {
    await container.remove();
    await disk.unmount();
  };
  return { container, upper: join(disk.folder, 'upper'), end };
}

describe('the clock was set back, so that a container seems to be younger', {
  skip: skip ?? (diskMissing || debugfsMissing),
}, () => {
  test('than now', async (t) => {
    const { id } = await gate(t, 'back');
    const { container, upper, end } = await startBornAt(t, id, '20400101000000');
    try {
      assert.equal((await container.sh('mkdir /opt')).exitCode, 0);
      // By the host, since the container may not.
      await copyFile('/bin/busybox', join(upper, 'opt/busybox-new'));
      assert.equal((await container.exec('/opt/busybox-new', 'echo', 'ran')).stdout, '');
      const chmod = 'cat /bin/busybox > /opt/tool; chmod +x /opt/tool; /opt/tool';
      assert.match((await container.sh(chmod)).stderr, /denied|not permitted/);
      assert.equal((await container.exec('/bin/busybox', 'echo', 'ran')).stdout, 'ran\n');
    } finally {
      await end();
    }
  });

  test('than its process, before the keeper came', async (t) => {
    const id = idOf('younger');
    const bornAt = Math.ceil(Date.now() / 1000) + 5;
    const { container, upper, end } = await startBornAt(t, id, `@${bornAt}`);
    try {
      assert.equal((await container.sh('mkdir /opt')).exitCode, 0);
      await copyFile('/bin/busybox', join(upper, 'opt/busybox-new'));
      const { birthtimeMs } = await stat(join(upper, 'opt/busybox-new'));
      if (birthtimeMs >= bornAt * 1000) return t.skip('needs a container within 5 seconds');
      await sleep(bornAt * 1000 - Date.now() + 100);
      const { gated } = await gate(t, 'younger');
      await gated.ask({ type: 'adopt', key: await gated.keyOf(id), pid: container.pid });
      assert.equal((await container.exec('/opt/busybox-new', 'echo', 'ran')).stdout, '');
      assert.equal((await container.exec('/bin/busybox', 'echo', 'ran')).stdout, 'ran\n');
    } finally {
      await end();
    }
  });
});

test('a program that seems to be older than a container, once the keeper is told that the clock was set', {
  skip,
}, async (t) => {
  const tell = join(host.folder, 'clock');
  await must('gcc', ['-O1', '-Wall', '-o', tell, join(import.meta.dirname, '../support/clock.c')]);
  const { id, gated } = await gate(t, 'older');
  const older = join(host.folder, 'older');
  await copyFile('/bin/busybox', older);
  const copiedAt = performance.now();
  const container = await host.startRunc({ id });
  t.after(container.remove);
  assert.equal((await container.sh('mkdir /opt')).exitCode, 0);
  // By the host: whatever the container makes is younger.
  await rename(older, join(host.folder, id, 'upper/opt/busybox-older'));
  const execute = async () => (await container.exec('/opt/busybox-older', 'echo', 'ran')).stdout;
  assert.equal(await execute(), 'ran\n', 'it is taken for one of the image');
  const [keeper] = await keepersOf(gated.pid);
  await must(tell, [`${keeper}`]);
  const tookMs = performance.now() - copiedAt;
  if (tookMs > clockSeenMs) return t.skip(`needs a container within ${clockSeenMs} ms; took ${tookMs} ms`);
  await eventually('it is refused', async () => (await execute()) === '');
  assert.equal((await container.exec('/bin/busybox', 'echo', 'ran')).stdout, 'ran\n');
});
