/**
 * Starts of containers while the thread that follows the mount table does not come to run, as on a machine that has other things to
 * do: it is stopped. What the container runs first is gated all the same.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type ContainerHost, containerHost, type StartOptions } from '../support/containers.ts';
import { gateRequirements } from '../support/gateHost.ts';
import { staticBusybox } from '../support/image.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { bind } from '../support/runcConfig.ts';
import { buildStopper, type Stopper, stopperRequirements } from '../support/stopper.ts';
import { execTable, fileTable, type TestGate, testGate } from '../support/testGate.ts';

/** Far longer than a container takes to come to its first program. */
const lateMs = 700;

const skip = gateRequirements() ?? (await stopperRequirements());
const ran = ['/bin/touch', '/ran'];
const blockAll = execTable(['/**'], ['alert', 'block']);
let host: ContainerHost;
let stopper: Stopper;
let count = 0;

before(async () => {
  if (skip !== undefined) return;
  host = await containerHost();
  stopper = await buildStopper(host.folder);
});
after(() => host?.close());

/** With no IDs it publishes nothing. */
async function gate(t: TestContext, ids: string[], holdMs = 60_000): Promise<TestGate> {
  const tables = Object.fromEntries(ids.map((id) => [id, blockAll]));
  const publish = ids.length > 0 ? 'found' : 'never';
  const gated = await testGate({ publish, tables, options: { holdMs } });
  t.after(gated.close);
  return gated;
}

const newId = () => `${containerPrefix}${process.pid}-starts-${++count}`;

async function folderWithProgram(name: string): Promise<string> {
  const folder = join(host.folder, name);
  await mkdir(folder);
  await copyFile(staticBusybox, join(folder, 'busybox'));
  await chmod(join(folder, 'busybox'), 0o755);
  return folder;
}

/** Whether a process whose command line names this waits for a verdict. */
async function waits(named: string): Promise<boolean> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const of = (name: string) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
    if ((await of('wchan')).startsWith('fanotify') && (await of('cmdline')).includes(named)) return true;
  }
  return false;
}

/** Whether the container's program ran, when the watcher stands still meanwhile. */
async function runs(gated: TestGate, options: StartOptions, stoppedMs = lateMs): Promise<boolean> {
  const [keeper = 0] = await keepersOf(gated.pid);
  const { goesOn } = await stopper.stop(keeper, 'd4c-watcher', stoppedMs);
  const { exitCode, upper, stderr } = await host.runRunc({ args: ran, ...options });
  await goesOn;
  assert.match(`${exitCode} ${stderr}`, /^0 |: operation not permitted/);
  return exitCode === 0 || existsSync(join(upper, 'ran'));
}

const runc = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'runc'))
  .find((file) => existsSync(file));

describe('a container that starts while nobody looks at the mount table', { skip }, () => {
  test('runs no program that is forbidden: its runtime waits', async (t) => {
    const id = newId();
    const gated = await gate(t, [id]);
    assert.equal(await runs(gated, { id }), false);
    await gated.event(({ path, verdict }) => path === '/bin/busybox' && verdict === 'deny');
  });

  test('nor one that lies on a volume', async (t) => {
    const id = newId();
    const folder = await folderWithProgram('volume');
    const gated = await gate(t, [id]);
    assert.equal(
      await runs(gated, { id, args: ['/data/busybox', 'true'], volumes: [bind(folder, '/data')] }),
      false,
    );
    await gated.event(({ path, verdict }) => path === '/data/busybox' && verdict === 'deny');
  });

  test('by a runtime at a place of its own, once it has started one, also when its file is replaced', async (t) => {
    const folder = join(host.folder, 'opt');
    const runtime = join(folder, 'runc');
    await mkdir(folder);
    await copyFile(runc ?? '', runtime);
    const ids = Array.from({ length: 6 }, newId);
    const gated = await gate(t, ids);
    const [first, second, third, fourth, fifth, sixth] = ids.map((id) => ({ id, runtime, args: ran }));
    assert.notEqual((await host.runRunc(first ?? {})).exitCode, 0);
    assert.equal(await runs(gated, second ?? {}), false);
    await copyFile(runtime, `${runtime}.new`);
    await rename(`${runtime}.new`, runtime);
    assert.notEqual((await host.runRunc(third ?? {})).exitCode, 0);
    assert.equal(await runs(gated, fourth ?? {}), false);
    // As `install` does it: the new file may get the old one's number.
    const { ino } = await stat(runtime);
    await rm(runtime);
    await copyFile(runc ?? '', runtime);
    t.diagnostic(`its number is ${(await stat(runtime)).ino === ino ? 'the same' : 'another one'}`);
    assert.notEqual((await host.runRunc(fifth ?? {})).exitCode, 0);
    assert.equal(await runs(gated, sixth ?? {}), false);
  });

  test('waits no longer than others that are not known: then it runs, and that is counted', async (t) => {
    const id = newId();
    const gated = await gate(t, [id], 200);
    assert.equal(await runs(gated, { id }), true);
    const failure = gated.failures.find((each) => each.failure === 'runtime_not_held');
    assert.match(failure?.detail ?? '', /runc`: what is mounted was not looked at in time$/);
  });
});

test('a first program that is missed is found, told, and gated from then on', { skip }, async (t) => {
  const folder = join(host.folder, 'unseen');
  const runtime = join(folder, 'runc');
  await mkdir(folder);
  await copyFile(runc ?? '', runtime);
  const id = newId();
  const table = fileTable(['modifyFile'], ['/etc/passwd'], ['alert', 'block']);
  const gated = await testGate({
    publish: 'firstExec',
    tables: { [id]: table },
    options: { holdMs: 60_000 },
  });
  t.after(gated.close);
  const [keeper = 0] = await keepersOf(gated.pid);
  const { goesOn } = await stopper.stop(keeper, 'd4c-watcher', lateMs);
  // Everything in it is done by the shell itself.
  const line = 'while ! [ -e /data/go ]; do :; done; echo x >> /etc/passwd';
  const running = host.runRunc({
    id,
    runtime,
    args: ['/bin/sh', '-c', line],
    volumes: [bind(folder, '/data')],
  });
  await goesOn;
  await eventually('it is found', () => gated.firstExecs.find((exec) => exec.id === id));
  const missed = gated.failures.find(({ failure }) => failure === 'first_program_missed');
  assert.match(missed?.detail ?? '', /`\/bin\/busybox`$/);
  await eventually('its table decides', async () => (await gated.stats()).held === 0);
  await writeFile(join(folder, 'go'), '');
  const { exitCode, stderr } = await running;
  assert.notEqual(exitCode, 0);
  assert.match(stderr, /not permitted/);
  await gated.event(({ path, verdict }) => path === '/etc/passwd' && verdict === 'deny');
});

describe('an image without /etc/passwd, which a runtime reads last', { skip }, () => {
  let bare: ContainerHost;
  before(async () => {
    bare = await containerHost();
    for (const name of ['passwd', 'group']) await rm(join(bare.folder, 'image/etc', name));
  });
  after(() => bare?.close());

  test('has the volumes watched all the same, also when nobody follows the mounts in time', async (t) => {
    const id = newId();
    const folder = await folderWithProgram('of-bare');
    const gated = await gate(t, [id]);
    const [keeper = 0] = await keepersOf(gated.pid);
    const { goesOn } = await stopper.stop(keeper, 'd4c-volumes', lateMs);
    const ended = await bare.runRunc({
      id,
      args: ['/data/busybox', 'echo', 'ran'],
      volumes: [bind(folder, '/data')],
    });
    await goesOn;
    assert.deepEqual([ended.exitCode, ended.stdout], [1, '']);
    await gated.event(({ path, verdict }) => path === '/data/busybox' && verdict === 'deny');
  });
});

describe('a keeper that is killed', { skip }, () => {
  /** Through a shell, so that nobody but the shell waits for its exec. */
  async function runtimeThatMayWait(): Promise<string> {
    const file = join(host.folder, 'waiting-runc');
    await writeFile(file, '#!/bin/sh\nexec runc "$@"\n', { mode: 0o755 });
    return file;
  }

  /** Watches the filesystem of the host on which volumes and upper directories lie, since the last of its containers. */
  async function watchTheHost(t: TestContext, gated: TestGate): Promise<void> {
    const id = newId();
    const starting = host.startRunc({ id });
    const table = fileTable(['createFile', 'deleteFile', 'modifyFile'], ['/none'], ['alert']);
    await gated.ask({ type: 'publish', key: await gated.keyOf(id), table, generation: 1 });
    t.after((await starting).remove);
    await gated.stats();
  }

  test('leaves no first program asleep that lies on a volume', async (t) => {
    const id = newId();
    const folder = await folderWithProgram('of-killed');
    const gated = await gate(t, []);
    const { groups: atFirst } = await gated.stats();
    // What it leaves free is taken next: a number below that of what watches the host.
    const goneId = newId();
    const starting = host.startRunc({ id: goneId });
    const key = await gated.keyOf(goneId);
    await gated.ask({ type: 'publish', key, table: null, generation: 1 });
    const gone = await starting;
    await watchTheHost(t, gated);
    await gone.remove();
    await eventually('it is gone', () => gated.gone.includes(key));
    await eventually('its group is closed', async () => (await gated.stats()).groups === atFirst + 1);
    const options = { id, args: ['/data/busybox', 'echo', 'ran'], volumes: [bind(folder, '/data')] };
    const held = host.runRunc(options);
    await eventually('it is held', () => gated.firstExecs.find((exec) => exec.id === id));
    const [keeper = 0] = await keepersOf(gated.pid);
    process.kill(keeper, 'SIGKILL');
    assert.equal((await held).stdout, 'ran\n');
    await gated.kill();
  });

  test('leaves no runtime asleep', async (t) => {
    const gated = await gate(t, []);
    await watchTheHost(t, gated);
    const runtime = await runtimeThatMayWait();
    const [keeper = 0] = await keepersOf(gated.pid);
    const { goesOn } = await stopper.stop(keeper, 'd4c-watcher', 10 * lateMs);
    const starting = host.runRunc({ runtime, args: ['/bin/echo', 'ran'] });
    await eventually('it waits', () => waits(runtime));
    process.kill(keeper, 'SIGKILL');
    assert.equal((await starting).stdout, 'ran\n');
    await goesOn.catch(() => undefined);
    await gated.kill();
  });
});
