/** What happens on volumes without a permission event is told as on the root filesystem, and contained where a rule blocks. */

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Container, ContainerHost, StartOptions } from '../support/containers.ts';
import { putDynamic } from '../support/dynamic.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { staticBusybox } from '../support/image.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must } from '../support/programs.ts';
import { bind, memory } from '../support/runcConfig.ts';
import { buildStopper, stopperRequirements } from '../support/stopper.ts';
import { type TestGate, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
const skipStopped = await stopperRequirements();
/** Longer than a container takes to come to its first program. */
const stoppedMs = 2000;
let host: ContainerHost;
let loader: string;
let count = 0;
const newId = () => `${containerPrefix}${process.pid}-volchg-${++count}`;

before(async () => {
  if (skip !== undefined) return;
  host = await gateHost();
  loader = await putDynamic(join(host.folder, 'image'), '/bin/echo', '/usr/bin/dynamic');
});
after(() => host?.close());

const folder = () => mkdtemp(join(host.folder, 'volume-'));

async function start(t: TestContext, options: StartOptions): Promise<Container> {
  const container = await host.startRunc(options);
  t.after(container.remove);
  return container;
}

const operations = ['createExecutable', 'modifyExecutable', 'createFile', 'modifyFile', 'deleteFile'];

/** Every file operation below the paths, by one selector for each; with `condition`. */
const logAll = (paths: string[], condition: Record<string, unknown> = {}, actions = ['log']) =>
  tableOf({
    file: {
      selectors: operations.map((operation) => ({
        name: operation.toLowerCase(),
        operation: [operation],
        targetFilePath: paths,
        ...condition,
      })),
      responses: [{ match: operations.map((operation) => operation.toLowerCase()), actions }],
    },
  });

const noNewPrograms = (paths?: string[]) =>
  tableOf({
    file: {
      selectors: [
        {
          name: 'programs',
          operation: ['createExecutable', 'modifyExecutable'],
          ...(paths && { targetFilePath: paths }),
        },
      ],
      responses: [{ match: ['programs'], actions: ['alert', 'block'] }],
    },
  });

/** What the gate has told until a file is made as a mark, since nothing is told later than mknod. */
async function told(gate: TestGate, container: Container, mark: string): Promise<string[]> {
  assert.equal(await opener(container, 'mknod', mark, '644'), 'ok');
  await gate.event(({ path }) => path === mark);
  const events = gate.events.splice(0).filter(({ path }) => path !== mark);
  return events.map(({ kind, operations: all, oldPath, path, mount, process: by }) => {
    assert.equal(by.executable, '/bin/opener', `${kind} ${path}`);
    const from = oldPath === undefined ? '' : `${oldPath} `;
    return `${mount} ${kind} ${from}${path}: ${all.join(' ')}`;
  });
}

describe('on a volume', { skip }, () => {
  for (const [kind, volume] of [
    ['of the node’s disk', async () => bind(await folder(), '/data')],
    ['in memory', async () => memory('/data')],
    [
      'that is a folder of another one (subPath)',
      async () => {
        const whole = await folder();
        await mkdir(join(whole, 'part'));
        return bind(join(whole, 'part'), '/data');
      },
    ],
  ] as const) {
    test(`${kind} each operation is told once, as the container sees it`, async (t) => {
      const id = newId();
      const gate = await testGate({ tables: { [id]: logAll(['/data/**']) } });
      t.after(gate.close);
      const container = await start(t, { id, volumes: [await volume()] });
      await container.sh('mkdir /data/sub /data/old');
      const calls: [string, ...string[]][] = [
        ['mknod', '/data/node', '644'],
        ['open', '/data/sub/open', '755', 'CREAT', 'EXCL', 'WRONLY'],
        ['symlink', '/bin/sh', '/data/sym'],
        ['link', '/data/node', '/data/sub/link'],
        ['chmod', '/data/node', '600'],
        ['chmod', '/data/node', '755'],
        ['chmod', '/data/node', '700'],
        ['rename', '/data/node', '/data/sub/moved'],
        ['rename', '/data/sub/moved', '/data/sub/open'],
        ['rename', '/data/old', '/data/new'],
        ['mknod', '/data/new/below', '644'],
        ['unlink', '/data/sub/link', '-'],
      ];
      for (const call of calls) assert.equal(await opener(container, ...call), 'ok', call.join(' '));
      assert.deepEqual(await told(gate, container, '/data/mark'), [
        'volume creation /data/node: createFile',
        'volume open /data/sub/open: createExecutable createFile',
        'volume creation /data/sym: createFile',
        'volume link /data/sub/link: createFile',
        'volume attributes /data/node: createExecutable',
        'volume rename /data/node /data/sub/moved: createExecutable createFile deleteFile',
        'volume rename /data/sub/moved /data/sub/open: modifyExecutable modifyFile deleteFile',
        'volume creation /data/new/below: createFile',
        'volume deletion /data/sub/link: deleteFile',
      ]);
      assert.deepEqual(gate.failures, []);
    });
  }

  test('a program that was brought to be without an open is not executed', async (t) => {
    const id = newId();
    const disk = await folder();
    for (const name of ['busybox-chmod', 'busybox-link', 'busybox-rename', 'busybox-kept'])
      await copyFile(staticBusybox, join(disk, name));
    await chmod(join(disk, 'busybox-chmod'), 0o644);
    for (const name of ['busybox-link', 'busybox-rename', 'busybox-kept'])
      await chmod(join(disk, name), 0o755);
    const gate = await testGate({ tables: { [id]: noNewPrograms() } });
    t.after(gate.close);
    const container = await start(t, {
      id,
      volumes: [bind(disk, '/data'), memory('/memory')],
      capabilities: ['CAP_SYS_ADMIN'],
    });
    const runs = async (path: string) => (await container.exec(path, 'echo', 'ran')).stdout === 'ran\n';
    const outcomeOf = async (kind: string, path: string) =>
      (await gate.event((each) => each.kind === kind && each.path === path)).outcome;
    await container.sh(
      'cat /bin/busybox > /memory/busybox-data; chmod 755 /memory/busybox-data /data/busybox-chmod',
    );
    assert.equal(await runs('/memory/busybox-data'), false);
    assert.equal(await outcomeOf('attributes', '/memory/busybox-data'), 'reverted');
    assert.equal(await outcomeOf('attributes', '/data/busybox-chmod'), 'reverted');
    assert.equal(statSync(join(disk, 'busybox-chmod')).mode & 0o777, 0o644);
    const again = 'for i in $(seq 30); do chmod 755 /data/busybox-chmod; /data/busybox-chmod echo ran; done';
    assert.equal((await container.sh(again)).stdout, '');
    await opener(container, 'link', '/data/busybox-link', '/data/busybox-linked');
    assert.equal(await outcomeOf('link', '/data/busybox-linked'), 'contained');
    assert.equal(await runs('/data/busybox-linked'), false);
    assert.equal(await runs('/data/busybox-link'), true);
    await opener(container, 'rename', '/data/busybox-rename', '/data/busybox-renamed');
    assert.equal(await outcomeOf('rename', '/data/busybox-renamed'), 'contained');
    assert.equal(await runs('/data/busybox-renamed'), false);
    const elsewhere =
      'mkdir /mnt; mount -o bind /data /mnt; sleep 0.2; mv /data/busybox-renamed /data/busybox-again; /mnt/busybox-again echo ran';
    assert.equal((await container.sh(elsewhere)).stdout, '');
    assert.equal(await runs('/data/busybox-kept'), true);
    const refused = await gate.event(({ kind, path }) => kind === 'exec' && path === '/data/busybox-renamed');
    assert.deepEqual([refused.reason, refused.mount, refused.outcome], ['contained', 'volume', 'prevented']);
  });

  test('a program that takes the place of another one by an exchange is not executed', async (t) => {
    const id = newId();
    const disk = await folder();
    for (const name of ['busybox-old', 'busybox-other', 'busybox-kept']) {
      await copyFile(staticBusybox, join(disk, name));
      await chmod(join(disk, name), 0o755);
    }
    const changed = { name: 'changed', operation: ['modifyExecutable'], targetFilePath: ['/data/**'] };
    const response = { match: ['changed'], actions: ['alert', 'block'] };
    const table = tableOf({ file: { selectors: [changed], responses: [response] } });
    const gate = await testGate({ tables: { [id]: table } });
    t.after(gate.close);
    const container = await start(t, { id, volumes: [bind(disk, '/data')] });
    const runs = async (path: string) => (await container.exec(path, 'echo', 'ran')).stdout === 'ran\n';
    assert.equal(await opener(container, 'exchange', '/data/busybox-other', '/data/busybox-old'), 'ok');
    for (const path of ['/data/busybox-old', '/data/busybox-other']) {
      const { outcome, operations: all } = await gate.event((each) => each.path === path);
      assert.deepEqual([outcome, all], ['contained', ['modifyExecutable', 'modifyFile', 'deleteFile']], path);
      assert.equal(await runs(path), false, path);
    }
    assert.equal(await runs('/data/busybox-kept'), true);
  });

  test('a program that was renamed is not loaded by a loader of the image either', async (t) => {
    const id = newId();
    const disk = await folder();
    for (const name of ['dynamic-old', 'dynamic-kept']) await copyFile('/bin/echo', join(disk, name));
    const gate = await testGate({ tables: { [id]: noNewPrograms() } });
    t.after(gate.close);
    const container = await start(t, { id, volumes: [bind(disk, '/data')] });
    await opener(container, 'rename', '/data/dynamic-old', '/data/dynamic-new');
    const loads = async (path: string) => (await container.exec(loader, path, 'ran')).stdout === 'ran\n';
    assert.equal(await loads('/data/dynamic-new'), false);
    assert.equal(await loads('/data/dynamic-kept'), true);
  });

  test('mounts are gated and execs go on while nobody comes to look at changes', {
    skip: skipStopped,
  }, async (t) => {
    const [id, later] = [newId(), newId()];
    const disk = await folder();
    await copyFile(staticBusybox, join(disk, 'busybox-kept'));
    const run = { name: 'run', operation: ['exec'], processExecutable: ['/data/**'] };
    const gone = { name: 'gone', operation: ['deleteFile'], targetFilePath: ['/**'] };
    const noneOfVolume = tableOf({
      process: { selectors: [run], responses: [{ match: ['run'], actions: ['alert', 'block'] }] },
      file: { selectors: [gone], responses: [{ match: ['gone'], actions: ['alert'] }] },
    });
    const gate = await testGate({
      publish: 'found',
      tables: { [id]: noNewPrograms(), [later]: noneOfVolume },
    });
    t.after(gate.close);
    const container = await start(t, { id, volumes: [bind(disk, '/data')] });
    const stopper = await buildStopper(host.folder);
    const [keeper = 0] = await keepersOf(gate.pid);
    const { goesOn } = await stopper.stop(keeper, 'd4c-changes', stoppedMs);
    let isStopped = true;
    const going = goesOn.then(() => {
      isStopped = false;
    });
    await opener(container, 'rename', '/data/busybox-kept', '/data/busybox-new');
    const waited = await container.exec('/data/busybox-new', 'echo', 'ran');
    const args = ['/data/busybox-new', 'true'];
    const refused = await host.runRunc({ id: later, args, volumes: [bind(disk, '/data')] });
    assert.deepEqual([waited.stdout, refused.exitCode, isStopped], ['ran\n', 1, true]);
    await going;
    const late = () => gate.failures.find(({ failure }) => failure === 'changes_late');
    assert.match((await eventually('it is counted', late)).detail, /rootfs`$/);
    const event = await gate.event(({ kind }) => kind === 'rename');
    assert.equal(event.outcome, 'contained');
    assert.equal((await container.exec('/data/busybox-new', 'echo', 'ran')).stdout, '');
  });

  test('that two containers share, each is judged for what it does, under its own path', async (t) => {
    const [one, other, third] = [newId(), newId(), newId()];
    const shared = await folder();
    const gate = await testGate({
      tables: { [one]: logAll(['/data/**']), [other]: logAll(['/cache/**']), [third]: logAll(['/none/**']) },
    });
    t.after(gate.close);
    const first = await start(t, { id: one, volumes: [bind(shared, '/data')] });
    const second = await start(t, { id: other, volumes: [bind(shared, '/cache')] });
    const silent = await start(t, { id: third, volumes: [bind(shared, '/data')] });
    for (let i = 0; i < 5; i++) {
      await opener(first, 'mknod', `/data/first-${i}`, '644');
      await opener(second, 'mknod', `/cache/second-${i}`, '644');
      await opener(silent, 'mknod', `/data/third-${i}`, '644');
      await writeFile(join(shared, `host-${i}`), '', { mode: 0o755 });
      await rename(join(shared, `host-${i}`), join(shared, `moved-${i}`));
    }
    await opener(first, 'mknod', '/data/end', '644');
    await gate.event(({ path }) => path === '/data/end');
    const keys = [await gate.keyOf(one), await gate.keyOf(other)];
    const paths = (key: number | undefined) =>
      gate.events.filter((event) => event.key === key).map(({ path }) => path);
    const named = (begin: string) => [0, 1, 2, 3, 4].map((i) => `${begin}${i}`);
    assert.deepEqual(paths(keys[0]), [...named('/data/first-'), '/data/end']);
    assert.deepEqual(paths(keys[1]), named('/cache/second-'));
    assert.equal(gate.events.length, 11);
  });

  test('`ignoreVolumeMounts` and `ignoreVolumeFiles` hold, also for a file that is mounted alone', async (t) => {
    const [all, mounts, files] = [newId(), newId(), newId()];
    const pod = join(host.folder, 'pods/7b2d/volumes');
    const config = join(pod, 'kubernetes.io~configmap/settings');
    await mkdir(config, { recursive: true });
    await writeFile(join(config, 'one'), '');
    const disk = await folder();
    await writeFile(join(disk, 'one'), '');
    const alone = join(await folder(), 'alone');
    await writeFile(alone, '');
    const gate = await testGate({
      tables: {
        [all]: logAll(['/**']),
        [mounts]: logAll(['/**'], { ignoreVolumeMounts: true }),
        [files]: logAll(['/**'], { ignoreVolumeFiles: true }),
      },
    });
    t.after(gate.close);
    const volumes = [
      bind(disk, '/disk'),
      bind(alone, '/one'),
      bind(config, '/config'),
      bind(config, '/read', 'ro'),
    ];
    const expected: [string, string[]][] = [
      [mounts, []],
      [files, ['volume attributes /disk/one']],
      [
        all,
        ['volumeFile attributes /one', 'volumeFile attributes /config/one', 'volume attributes /disk/one'],
      ],
    ];
    for (const [id, wanted] of expected) {
      const container = await start(t, { id, volumes });
      assert.equal(await opener(container, 'chmod', '/read/one', '755'), 'EROFS');
      const steps = [
        ['/one', alone],
        ['/config/one', join(config, 'one')],
        ['/disk/one', join(disk, 'one')],
      ] as const;
      for (const [path, file] of steps) {
        assert.equal(await opener(container, 'chmod', path, '755'), 'ok');
        await opener(container, 'mknod', `/etc/after${path.replaceAll('/', '-')}`, '644');
        await gate.event((each) => each.path === `/etc/after${path.replaceAll('/', '-')}`);
        await chmod(file, 0o644);
      }
      const seen = gate.events.splice(0).filter(({ path }) => !path.startsWith('/etc/'));
      const lines = seen.map(({ mount, kind, path }) => `${mount} ${kind} ${path}`);
      assert.deepEqual(lines, wanted);
      await container.remove();
    }
  });

  test('that is of another filesystem of the node is watched', async (t) => {
    const id = newId();
    const mounted = await folder();
    await must('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
    t.after(() => must('umount', [mounted]));
    const gate = await testGate({ tables: { [id]: logAll(['/data/**']) } });
    t.after(gate.close);
    const container = await start(t, { id, volumes: [bind(mounted, '/data')] });
    await opener(container, 'mknod', '/data/node', '755');
    await gate.event(({ path, mount }) => path === '/data/node' && mount === 'volume');
    await container.remove();
  });
});
