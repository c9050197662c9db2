/** The gate's life: what waits, what is published when, and that nobody is left asleep however it ends. */

import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { diskMissing, diskOf } from '../support/disk.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, must, run } from '../support/programs.ts';
import { runcConfig } from '../support/runcConfig.ts';
import { execTable, fileTable, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

async function gate(t: TestContext, ...setUp: Parameters<typeof testGate>) {
  const started = await testGate(...setUp);
  t.after(started.close);
  return started;
}

/** An ID of its own for each test. */
const newId = () => `${containerPrefix}${process.pid}-gate-${++count}`;

async function start(t: TestContext, id: string): Promise<Container> {
  const container = await host.startRunc({ id });
  t.after(container.remove);
  return container;
}

const blockOpener = execTable(['/bin/opener'], ['alert', 'block']);
const blockSleep = execTable(['/bin/busybox'], ['alert', 'block']);
const blockPasswd = fileTable(['modifyFile'], ['/etc/passwd'], ['alert', 'block']);
const writePasswd = ['open', '/etc/passwd', '0', 'WRONLY'] as const;

describe('a container that nobody knows yet', { skip }, () => {
  test('waits at its first exec until its table is published', async (t) => {
    const id = newId();
    const gated = await gate(t, { publish: 'never' });
    const starting = host.runRunc({ id, args: ['/bin/echo', 'ran'] });
    const { key, path, cgroup, pid } = await eventually('the first exec waits', () =>
      gated.firstExecs.find((exec) => exec.id === id),
    );
    assert.deepEqual([path, cgroup.endsWith(id), pid > 0], ['/bin/busybox', true, true]);
    assert.equal((await gated.stats()).held, 1);
    await gated.ask({ type: 'publish', key, table: blockSleep, generation: 7 });
    const { exitCode, stdout } = await starting;
    assert.deepEqual([exitCode, stdout], [1, '']);
    assert.equal((await gated.event(({ verdict }) => verdict === 'deny')).generation, 7);
    assert.equal((await gated.stats()).held, 0);
  });

  for (const [onUnknown, exitCode] of [
    ['allow', 0],
    ['deny', 1],
  ] as const) {
    test(`is answered by \`onUnknown\` ${onUnknown} when the time is over`, async (t) => {
      const gated = await gate(t, { publish: 'never', options: { holdMs: 300, onUnknown } });
      const started = performance.now();
      const ran = await host.runRunc({ args: ['/bin/true'] });
      assert.equal(ran.exitCode, exitCode, ran.stderr);
      assert.ok(performance.now() - started > 300);
      await eventually('it is counted', () =>
        gated.failures.find(({ failure }) => failure === 'container_unknown'),
      );
      // Events are handed over a little later than failures.
      if (onUnknown === 'deny') await gated.event(({ decidedBy }) => decidedBy === 'unknown');
      const refusals = gated.events.map(({ decidedBy, verdict }) => [decidedBy, verdict]);
      assert.deepEqual(refusals, onUnknown === 'deny' ? [['unknown', 'deny']] : []);
    });
  }

  test('obeys a table that comes late', async (t) => {
    const id = newId();
    const gated = await gate(t, { publish: 'never', options: { holdMs: 50 } });
    const container = await start(t, id);
    assert.equal((await container.exec('/bin/opener', 'creat')).exitCode, 2);
    await gated.ask({ type: 'publish', key: await gated.keyOf(id), table: blockOpener, generation: 1 });
    assert.match((await container.exec('/bin/opener', 'creat')).stderr, /not permitted/);
  });

  test('does not wait when its table was published before it ran', async (t) => {
    const id = newId();
    const gated = await gate(t, { publish: 'found', tables: { [id]: blockSleep } });
    assert.equal((await host.runRunc({ id, args: ['/bin/true'] })).exitCode, 1);
    assert.deepEqual(gated.firstExecs, []);
  });

  test('that ran before the gate opened waits to write, and not to read', async (t) => {
    const id = newId();
    const container = await start(t, id);
    const gated = await gate(t, { publish: 'never' });
    const key = await gated.keyOf(id);
    assert.equal(gated.containers.find((found) => found.id === id)?.mayRun, true);
    assert.match(String(await gated.ask({ type: 'adopt', key, pid: container.pid })), new RegExp(`${id}$`));
    // The exec that brings the opener is the first thing that waits.
    const writing = opener(container, ...writePasswd);
    await eventually('it waits', async () => (await gated.stats()).held === 1);
    await gated.ask({ type: 'publish', key, table: blockPasswd, generation: 1 });
    assert.equal(await writing, 'EPERM');
  });
});

describe('what is published', { skip }, () => {
  test('`null` takes the marks away, and a table brings them back', async (t) => {
    const id = newId();
    const gated = await gate(t, { tables: { [id]: null } });
    const container = await start(t, id);
    const key = await gated.keyOf(id);
    const { verdicts } = await gated.stats();
    const [opens, refused] = (await opener(container, 'poll', '/etc/passwd', '50', 'WRONLY')).split(' ');
    assert.ok(Number(opens) > 1_000 && refused === '0');
    // Other containers of this machine may add a few.
    assert.ok((await gated.stats()).verdicts - verdicts < 100);
    await gated.ask({ type: 'publish', key, table: blockPasswd, generation: 2 });
    assert.equal(await opener(container, ...writePasswd), 'EPERM');
    await gated.ask({ type: 'publish', key, table: null, generation: 3 });
    assert.equal(await opener(container, ...writePasswd), 'ok');
  });

  test('a container that was left alone before its first exec is gated without a new exec', async (t) => {
    const id = newId();
    // Left alone as soon as it is found: its first exec raises no event.
    const gated = await gate(t, { publish: 'found', tables: { [id]: null } });
    const writes = 'while :; do echo x >> /etc/passwd; done';
    await host.startRunc({ id, args: ['/bin/sh', '-c', writes] }).then(({ remove }) => t.after(remove));
    const key = await gated.keyOf(id);
    await gated.ask({ type: 'publish', key, table: blockPasswd, generation: 2 });
    const { verdict, kind } = await gated.event(({ path }) => path === '/etc/passwd');
    assert.deepEqual([verdict, kind], ['deny', 'open']);
  });

  test('a table with rules about exec alone costs opens nothing', async (t) => {
    const id = newId();
    const gated = await gate(t, { tables: { [id]: execTable(['/none'], ['alert']) } });
    const container = await start(t, id);
    const { verdicts } = await gated.stats();
    await opener(container, 'poll', '/etc/passwd', '50', 'RDONLY');
    assert.ok((await gated.stats()).verdicts - verdicts < 100);
  });

  test('a table is exchanged whole: what both forbid is never allowed', async (t) => {
    const id = newId();
    const tables = [blockPasswd, fileTable(['modifyFile'], ['/etc/**'], ['log', 'alert', 'block'])] as const;
    const gated = await gate(t, { tables: { [id]: tables[0] } });
    const container = await start(t, id);
    const polling = opener(container, 'poll', '/etc/passwd', '1000', 'WRONLY');
    await eventually('it polls', async () => (await gated.stats()).denied > 10);
    const key = await gated.keyOf(id);
    const swaps = await gated.ask({ type: 'swap', key, tables, ms: 500 });
    const [opens, refused] = (await polling).split(' ').map(Number);
    assert.equal(refused, opens);
    assert.ok(Number(swaps) > 20 && Number(opens) > 100, `${swaps} swaps, ${opens} opens`);
  });

  test('JavaScript that stalls for 200 ms keeps no opener waiting for 10 ms', async (t) => {
    const id = newId();
    const gated = await gate(t, { tables: { [id]: blockPasswd } });
    const container = await start(t, id);
    // A busy machine delays the opener itself: the shortest of some attempts is the truest.
    let longestUs = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < 6 && longestUs >= 10_000; attempt++) {
      const { denied } = await gated.stats();
      const polling = opener(container, 'poll', '/etc/passwd', '500', 'WRONLY');
      await eventually('it polls', async () => (await gated.stats()).denied > denied + 10);
      await gated.ask({ type: 'stall', ms: 200 });
      const [opens, refused, us = 0] = (await polling).split(' ').map(Number);
      assert.equal(refused, opens);
      longestUs = Math.min(longestUs, us);
    }
    assert.ok(longestUs < 10_000, `an opener waited ${longestUs} us`);
  });

  test('a table for a container that is gone is ignored, a damaged one refused', async (t) => {
    const gated = await gate(t);
    await gated.ask({ type: 'publish', key: 999_999, table: blockPasswd, generation: 1 });
    assert.equal(await gated.ask({ type: 'adopt', key: 999_999, pid: 1 }), undefined);
  });
});

describe('a gate that ends', { skip }, () => {
  test('leaves nobody asleep, however it ends, and may be closed twice', async () => {
    for (const end of ['close', 'closeTwice', 'kill'] as const) {
      const id = newId();
      const gated = await testGate({ publish: 'never', options: { holdMs: 60_000 } });
      const starting = host.runRunc({ id, args: ['/bin/echo', 'ran'] });
      await eventually('the first exec waits', () => gated.firstExecs.find((exec) => exec.id === id));
      if (end === 'kill') await gated.kill();
      else await gated.ask({ type: end });
      assert.deepEqual([(await starting).stdout, end], ['ran\n', end]);
      if (end === 'closeTwice') await gated.close();
    }
  });

  test('closing while many open lets every one of them go on', async (t) => {
    const id = newId();
    const gated = await gate(t, { tables: { [id]: blockPasswd } });
    const container = await start(t, id);
    const polls = Array.from({ length: 6 }, () =>
      opener(container, 'poll', '/etc/passwd', '/tmp/stop', 'WRONLY'),
    );
    await eventually('they poll', async () => (await gated.stats()).denied > 100);
    const { denied } = await gated.stats();
    await gated.close();
    // However long that took, they have opened since.
    await must('runc', ['exec', container.id, '/bin/mkdir', '/tmp/stop']);
    const all = (await Promise.all(polls)).map((line) => line.split(' ').map(Number));
    assert.ok(all.some(([opens = 0, refused = 0]) => opens > refused));
    assert.ok(gated.events.length >= denied, 'what was seen is handed over');
  });
});

describe('what is found', { skip }, () => {
  test('a container that is removed is reported as gone', async (t) => {
    const id = newId();
    const gated = await gate(t);
    const { roots } = await gated.stats();
    const container = await host.startRunc({ id });
    const key = await gated.keyOf(id);
    await container.remove();
    await eventually('it is gone', () => gated.gone.includes(key));
    assert.equal((await gated.stats()).roots, roots);
  });

  test('a root filesystem that the host has let go of is still gated', async (t) => {
    const id = newId();
    const gated = await gate(t, { tables: { [id]: blockPasswd } });
    const container = await start(t, id);
    const rootfs = join(host.folder, id, 'rootfs');
    await must('umount', ['--lazy', rootfs]);
    // Something to unmount for whoever removes the container.
    await must('mount', ['-t', 'tmpfs', 'tmpfs', rootfs]);
    assert.equal(await opener(container, ...writePasswd), 'EPERM');
    assert.deepEqual(gated.gone, []);
  });

  test('a root filesystem that the host has let go of is gated by a table that asks for more', async (t) => {
    const id = newId();
    const gated = await gate(t, { tables: { [id]: execTable(['/bin/none'], ['alert']) } });
    const container = await start(t, id);
    assert.equal(await opener(container, ...writePasswd), 'ok');
    const rootfs = join(host.folder, id, 'rootfs');
    await must('umount', ['--lazy', rootfs]);
    await must('mount', ['-t', 'tmpfs', 'tmpfs', rootfs]);
    await gated.ask({ type: 'publish', key: await gated.keyOf(id), table: blockPasswd, generation: 2 });
    await eventually('it is refused', async () => (await opener(container, ...writePasswd)) === 'EPERM');
    assert.deepEqual(gated.failures, []);
  });

  test('a mount point may have any name', async (t) => {
    const gated = await gate(t);
    const folder = join(host.folder, newId(), 'a b\tc\nd\\e,f');
    const [lower, rootfs] = [join(folder, '..', 'lower'), join(folder, 'rootfs')];
    const [upper, work] = [join(folder, '..', 'upper'), join(folder, '..', 'work')];
    for (const each of [lower, rootfs, upper, work]) await mkdir(each, { recursive: true });
    await must('mount', [
      '-t',
      'overlay',
      'overlay',
      '-o',
      `lowerdir=${lower},upperdir=${upper},workdir=${work}`,
      rootfs,
    ]);
    t.after(() => run('umount', [rootfs]));
    const found = await eventually('it is found', () =>
      gated.containers.find(({ mountPoint }) => mountPoint === rootfs),
    );
    assert.deepEqual([found.upperDir, found.mayRun, found.first], [upper, false, true]);
    assert.match(found.device, /^0:\d+$/);
  });

  test('a filesystem that must never be marked is not', async (t) => {
    const [rootfs, ...folders] = ['rootfs', 'lower', 'upper', 'work'].map((name) =>
      join(host.folder, 'never', name),
    ) as [string, string, string, string];
    for (const folder of [rootfs, ...folders]) await mkdir(folder, { recursive: true });
    const [lower, upper, work] = folders;
    const layers = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    await must('mount', ['-t', 'overlay', 'overlay', '-o', layers, rootfs]);
    t.after(() => run('umount', [rootfs]));
    const gated = await gate(t, { options: { neverMark: [rootfs] } });
    assert.deepEqual(
      gated.containers.filter(({ mountPoint }) => mountPoint === rootfs),
      [],
    );
  });

  test('a container that gets the number of a filesystem that is unmounted by then is found', async (t) => {
    const gone = join(host.folder, 'gone');
    await mkdir(gone);
    // Anybody on the machine may take the number meanwhile.
    for (let tries = 0; tries < 8; tries++) {
      await must('mount', ['-t', 'tmpfs', 'gone', gone]);
      const { dev } = await stat(gone);
      const gated = await testGate({ options: { neverMark: [gone] } }).finally(() => must('umount', [gone]));
      const container = await start(t, newId());
      const is = (await stat(join(host.folder, container.id, 'rootfs'))).dev;
      try {
        if (is === dev) return void (await gated.keyOf(container.id));
      } finally {
        await gated.close();
      }
    }
    t.skip('the number was not given again');
  });

  test('rules about creating hold also on a filesystem that was unmounted and mounted again', {
    skip: diskMissing,
  }, async (t) => {
    const id = newId();
    const disk = await diskOf(t, host, id);
    const table = fileTable(['createFile'], ['/tmp/**'], ['alert', 'block']);
    await gate(t, { publish: 'found', tables: { [id]: table } });
    const said: string[] = [];
    for (let mounted = 0; mounted < 2; mounted++) {
      await disk.mount();
      const container = await host.startRunc({ id });
      said.push((await container.sh('echo x > /tmp/file && echo created || echo refused')).stdout);
      await container.remove();
      await disk.unmount();
    }
    assert.deepEqual(said, ['refused\n', 'refused\n']);
  });

  test('two containers on one root filesystem have a table each', async (t) => {
    const gated = await gate(t, { publish: 'never' });
    const bundle = join(host.folder, newId());
    const [rootfs, upper, work] = [join(bundle, 'rootfs'), join(bundle, 'upper'), join(bundle, 'work')];
    for (const folder of [rootfs, upper, work]) await mkdir(folder, { recursive: true });
    const layers = `lowerdir=${host.folder}/image,upperdir=${upper},workdir=${work}`;
    await must('mount', ['-t', 'overlay', 'overlay', '-o', layers, rootfs]);
    t.after(() => eventually('it is unmounted', async () => (await run('umount', [rootfs])).exitCode === 0));
    const runOne = async (table: string, first: boolean) => {
      const id = newId();
      await writeFile(join(bundle, 'config.json'), JSON.stringify(runcConfig(id, ['/bin/echo', 'ran'], {})));
      const running = run('runc', ['run', '--bundle', bundle, id]);
      const exec = await eventually('it waits', () =>
        gated.firstExecs.find(({ cgroup }) => cgroup.endsWith(id)),
      );
      assert.equal(gated.containers.find(({ key }) => key === exec.key)?.first, first);
      await gated.ask({ type: 'publish', key: exec.key, table, generation: 1 });
      return (await running).stdout;
    };
    assert.equal(await runOne(execTable(['/none'], ['alert']), true), 'ran\n');
    assert.equal(await runOne(blockSleep, false), '');
    assert.equal(await runOne(execTable(['/none'], ['alert']), false), 'ran\n');
  });

  test('where no further group is granted the limit is raised, and each container has one of its own', async (t) => {
    const limit = '/proc/sys/fs/fanotify/max_user_groups';
    const id = newId();
    const table = fileTable(['createFile', 'modifyFile'], ['/etc/**'], ['alert', 'block']);
    const gated = await gate(t, { tables: { [id]: table } });
    await start(t, newId());
    const { groups } = await gated.stats();
    const before = await readFile(limit, 'utf8');
    t.after(() => writeFile(limit, before));
    await writeFile(limit, '1');
    const container = await start(t, id);
    assert.equal((await gated.stats()).groups, groups + 1);
    assert.equal(await opener(container, ...writePasswd), 'EPERM');
    await opener(container, 'rename', '/etc/group', '/etc/renamed');
    await gated.event(({ kind, path }) => kind === 'rename' && path === '/etc/renamed');
    assert.deepEqual(gated.failures, []);
    const raised = Number(await readFile(limit, 'utf8'));
    assert.ok(raised > 1 && raised <= 4096, `${raised}`);
  });

  test('containers that share a group keep their own tables', async (t) => {
    const [one, other] = [newId(), newId()];
    const tables = {
      [one]: blockPasswd,
      [other]: fileTable(['modifyFile'], ['/etc/group'], ['alert', 'block']),
    };
    const gated = await gate(t, { tables, options: { maxGroups: 1 } });
    const { roots } = await gated.stats();
    const [first, second] = [await start(t, one), await start(t, other)];
    assert.deepEqual([(await gated.stats()).groups, (await gated.stats()).roots], [1, roots + 2]);
    const group = ['open', '/etc/group', '0', 'WRONLY'] as const;
    assert.deepEqual([await opener(first, ...writePasswd), await opener(first, ...group)], ['EPERM', 'ok']);
    assert.deepEqual([await opener(second, ...writePasswd), await opener(second, ...group)], ['ok', 'EPERM']);
    await first.remove();
    assert.equal(await opener(second, ...group), 'EPERM');
  });

  test('files of layers on several filesystems are of their container, also in a shared group', async (t) => {
    const gated = await gate(t, { publish: 'never', options: { maxGroups: 1 } });
    await start(t, newId());
    const bundle = join(host.folder, newId());
    const [rootfs, memory] = [join(bundle, 'rootfs'), join(bundle, 'memory')];
    for (const folder of [rootfs, memory]) await mkdir(folder, { recursive: true });
    await must('mount', ['-t', 'tmpfs', 'tmpfs', memory]);
    t.after(() => run('umount', [memory]));
    for (const folder of ['upper', 'work']) await mkdir(join(memory, folder));
    const layers = `lowerdir=${host.folder}/image,upperdir=${memory}/upper,workdir=${memory}/work`;
    await must('mount', ['-t', 'overlay', 'overlay', '-o', layers, rootfs]);
    t.after(() => eventually('it is unmounted', async () => (await run('umount', [rootfs])).exitCode === 0));
    const id = newId();
    const args = ['/bin/opener', 'open', '/tmp/new', '755', 'CREAT', 'WRONLY'];
    await writeFile(join(bundle, 'config.json'), JSON.stringify(runcConfig(id, args, {})));
    const running = run('runc', ['run', '--bundle', bundle, id]);
    const exec = await eventually('it waits', () =>
      gated.firstExecs.find(({ cgroup }) => cgroup.endsWith(id)),
    );
    const table = fileTable(['createExecutable'], ['/**'], ['alert', 'block']);
    await gated.ask({ type: 'publish', key: exec.key, table, generation: 1 });
    assert.equal((await running).stdout, 'EPERM\n');
    assert.equal((await gated.event(({ path }) => path === '/tmp/new')).rolledBack, true);
  });
});

describe('a task outside of the gate’s pid namespace', { skip }, () => {
  for (const mode of ['enforce', 'observe'] as const) {
    const outcome = mode === 'enforce' ? 'is answered by `onUnknown`' : 'is refused nothing';
    test(`${outcome} in mode ${mode}, and counted`, async (t) => {
      if (!isInstalled('unshare')) return t.skip('needs unshare');
      const setUp = { publish: 'never', options: { mode, onUnknown: 'deny' } } as const;
      const gated = await gate(t, setUp, ['unshare', '--pid', '--fork', '--kill-child']);
      const { exitCode, stderr } = await host.runRunc({ id: newId(), args: ['/bin/true'] });
      assert.equal(exitCode === 0, mode === 'observe', stderr);
      await eventually('it is counted', () =>
        gated.failures.find(
          ({ failure, detail }) =>
            failure === 'container_unknown' && /outside of this pid namespace/.test(detail),
        ),
      );
    });
  }
});

test('a process that may not gate is told so', { skip }, async (t) => {
  if (!isInstalled('unshare')) return t.skip('needs unshare');
  const refused = testGate({}, ['unshare', '--user', '--map-root-user']);
  await assert.rejects(refused, {
    code: 'GATE_NOT_PERMITTED',
    message: /^cannot open .*: operation not permitted; /,
  });
});
