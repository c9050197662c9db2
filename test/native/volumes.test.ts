/** Volumes of real containers: which of them are watched from when on, and what kind of mount each event names. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Container, ContainerHost, StartOptions } from '../support/containers.ts';
import { requirements } from '../support/containers.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { staticBusybox } from '../support/image.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, must, run } from '../support/programs.ts';
import { bind, memory } from '../support/runcConfig.ts';
import { execTable, fileTable, tableOf, testGate } from '../support/testGate.ts';

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

function needsFuse(): string | undefined {
  const knowsFuse = /\tfuse$/m.test(readFileSync('/proc/filesystems', 'utf8'));
  return knowsFuse && isInstalled('nsenter') ? undefined : 'needs FUSE, nsenter';
}

const newId = () => `${containerPrefix}${process.pid}-volumes-${++count}`;

async function start(t: TestContext, options: StartOptions): Promise<Container> {
  const container = await host.startRunc(options);
  t.after(container.remove);
  return container;
}

/** A folder of the host with a static program in it, `busybox`. */
async function folderWithProgram(path?: string): Promise<string> {
  const folder = path ?? (await mkdtemp(join(host.folder, 'volume-')));
  await mkdir(folder, { recursive: true });
  await copyFile(staticBusybox, join(folder, 'busybox'));
  await chmod(join(folder, 'busybox'), 0o755);
  return folder;
}

const blocked = ['alert', 'block'];

describe('the root filesystem of another container on a volume', { skip }, () => {
  test('obeys the rules of who uses it there, also when its own container has none', async (t) => {
    const [other, id] = [newId(), newId()];
    const section = (selector: string, condition: object, operation: string) => ({
      selectors: [{ name: selector, operation: [operation], ...condition }],
      responses: [{ match: [selector], actions: blocked }],
    });
    const table = tableOf({
      file: section('written', { targetFilePath: ['/other/etc/**'] }, 'modifyFile'),
      process: section('run', { processExecutable: ['/other/bin/**'] }, 'exec'),
    });
    const gated = await gate(t, { tables: { [id]: table, [other]: null } });
    await start(t, { id: other });
    const container = await start(t, {
      id,
      volumes: [bind(join(host.folder, other, 'rootfs'), '/other')],
    });
    const line =
      'echo line >> /other/etc/passwd; /other/bin/busybox echo ran; echo line >> /other/var/log/messages && echo written';
    const { stdout } = await container.sh(line);
    assert.equal(stdout, 'written\n');
    const denied = [
      await gated.event(({ path, verdict }) => path === '/other/etc/passwd' && verdict === 'deny'),
    ];
    denied.push(
      await gated.event(({ path, verdict }) => path === '/other/bin/busybox' && verdict === 'deny'),
    );
    assert.deepEqual(
      denied.map(({ mount, outcome }) => [mount, outcome]),
      [
        ['volume', 'prevented'],
        ['volume', 'prevented'],
      ],
    );
  });

  test('may hold the first program, which is held and obeys its table', async (t) => {
    const [other, id] = [newId(), newId()];
    const gated = await gate(t, { tables: { [id]: execTable(['/other/**'], blocked), [other]: null } });
    await start(t, { id: other });
    const volumes = [bind(join(host.folder, other, 'rootfs'), '/other')];
    const ran = await host.runRunc({ id, args: ['/other/bin/busybox', 'echo', 'ran'], volumes });
    assert.deepEqual([ran.exitCode, ran.stdout], [1, '']);
    assert.ok(gated.firstExecs.some((first) => first.id === id && first.path === '/other/bin/busybox'));
  });
});

describe('a container whose first program lies on a volume', { skip }, () => {
  test('is held at it, and obeys its table', async (t) => {
    const id = newId();
    const folder = await folderWithProgram();
    const gated = await gate(t, { tables: { [id]: execTable(['/data/**'], blocked) } });
    const volumes = [bind(folder, '/data')];
    const ran = await host.runRunc({ id, args: ['/data/busybox', 'echo', 'ran'], volumes });
    assert.deepEqual([ran.exitCode, ran.stdout], [1, '']);
    const [first] = gated.firstExecs;
    assert.deepEqual([first?.id, first?.path], [id, '/data/busybox']);
    const event = await gated.event(({ verdict }) => verdict === 'deny');
    assert.deepEqual([event.path, event.mount, event.outcome], ['/data/busybox', 'volume', 'prevented']);
  });

  test('is refused twenty times out of twenty when its table was there before', async (t) => {
    const folder = await folderWithProgram();
    const ids = Array.from({ length: 20 }, newId);
    const table = execTable(['/data/**'], blocked);
    await gate(t, { publish: 'found', tables: Object.fromEntries(ids.map((id) => [id, table])) });
    const volumes = [bind(folder, '/data')];
    const codes = [];
    for (const id of ids) {
      codes.push((await host.runRunc({ id, args: ['/data/busybox', 'true'], volumes })).exitCode);
    }
    assert.deepEqual(codes, Array(20).fill(1));
  });

  test('is refused ten times out of ten while its volumes come to be watched for changes, too', async (t) => {
    const folder = await folderWithProgram();
    const ids = Array.from({ length: 10 }, newId);
    const table = tableOf({
      process: {
        selectors: [{ name: 'run', operation: ['exec'], processExecutable: ['/data/**'] }],
        responses: [{ match: ['run'], actions: blocked }],
      },
      file: {
        selectors: [{ name: 'drop', operation: ['createExecutable', 'modifyExecutable', 'deleteFile'] }],
        responses: [{ match: ['drop'], actions: ['alert'] }],
      },
    });
    await gate(t, { publish: 'found', tables: Object.fromEntries(ids.map((id) => [id, table])) });
    const volumes = [bind(folder, '/data'), memory('/cache'), bind(await folderWithProgram(), '/other')];
    const codes = [];
    for (const id of ids) {
      codes.push((await host.runRunc({ id, args: ['/data/busybox', 'true'], volumes })).exitCode);
    }
    assert.deepEqual(codes, Array(10).fill(1));
  });

  test('of containerd is refused as well', { skip: requirements('containerd') }, async (t) => {
    const folder = await folderWithProgram();
    const gated = await gate(t, { publish: 'never' });
    const id = newId();
    const starting = host.startContainerd({
      id,
      args: ['/data/busybox', 'true'],
      volumes: [bind(folder, '/data')],
    });
    const { key, path } = await eventually('the first exec waits', () =>
      gated.firstExecs.find((exec) => exec.id === id),
    );
    assert.equal(path, '/data/busybox');
    await gated.ask({ type: 'publish', key, table: execTable(['/data/**'], blocked), generation: 1 });
    await gated.event(({ verdict }) => verdict === 'deny');
    // containerd says that it started: its runtime has told it before the exec.
    await (await starting).remove();
  });
});

describe('what is mounted in a container', { skip }, () => {
  test('is watched: memory, folders and files of the host, /dev and /dev/shm', async (t) => {
    const id = newId();
    const folder = await folderWithProgram();
    const file = join(folder, 'one');
    await writeFile(file, '');
    const rules = fileTable(['createFile', 'modifyFile'], ['/**'], blocked);
    const gated = await gate(t, { tables: { [id]: rules } });
    const container = await start(t, {
      id,
      volumes: [memory('/cache'), bind(folder, '/data'), bind(file, '/config')],
    });
    const kinds = {
      '/etc/new': 'root',
      '/cache/new': 'volume',
      '/data/new': 'volume',
      '/dev/new': 'volume',
      '/dev/shm/new': 'volume',
    };
    for (const [path, mount] of Object.entries(kinds)) {
      assert.equal(await opener(container, 'open', path, '755', 'CREAT', 'EXCL', 'WRONLY'), 'EPERM', path);
      const event = await gated.event((each) => each.path === path);
      assert.deepEqual([event.mount, event.rolledBack], [mount, true], path);
    }
    assert.equal(await opener(container, 'open', '/config', '0', 'WRONLY'), 'EPERM');
    assert.equal((await gated.event(({ path }) => path === '/config')).mount, 'volumeFile');
    assert.equal(await opener(container, 'open', '/dev/null', '0', 'WRONLY'), 'ok');
  });

  test('is no drift: programs on volumes that nobody blocks run', async (t) => {
    const id = newId();
    const rules = fileTable(['createExecutable', 'modifyExecutable'], ['/**'], blocked);
    const folder = await mkdtemp(join(host.folder, 'volume-'));
    await gate(t, { tables: { [id]: rules } });
    const container = await start(t, { id, volumes: [bind(folder, '/data')] });
    // The host puts it there, so nothing was refused.
    await folderWithProgram(folder);
    assert.equal((await container.exec('/data/busybox', 'echo', 'ran')).stdout, 'ran\n');
  });

  test('without O_EXCL a file on a volume is taken as created while it is young', async (t) => {
    const id = newId();
    const rules = fileTable(['createFile'], ['/cache/**'], blocked);
    const gated = await gate(t, { tables: { [id]: rules } });
    const container = await start(t, { id, volumes: [memory('/cache')] });
    assert.equal(await opener(container, 'open', '/cache/new', '644', 'CREAT', 'WRONLY'), 'EPERM');
    const { operations } = await gated.event(({ path }) => path === '/cache/new');
    assert.deepEqual(operations, ['createFile', 'modifyFile']);
    await eventually(
      'the file has grown old',
      async () => (await opener(container, 'open', '/cache/new', '644', 'CREAT', 'WRONLY')) === 'ok',
    );
  });

  test('is told apart by `ignoreVolumeMounts` and `ignoreVolumeFiles`', async (t) => {
    const id = newId();
    const pod = join(host.folder, 'pods/6a1c');
    const volume = (plugin: string, name: string) => join(pod, 'volumes', `kubernetes.io~${plugin}`, name);
    const config = await folderWithProgram(volume('configmap', 'settings'));
    const disk = await folderWithProgram(volume('empty-dir', 'cache'));
    // What a container may do below its own volume.
    const forged = await folderWithProgram(join(disk, 'pods/1/volumes/kubernetes.io~secret/forged'));
    const secret = volume('secret', 'token');
    await mkdir(secret, { recursive: true });
    await must('mount', ['-t', 'tmpfs', 'tmpfs', secret]);
    t.after(() => must('umount', [secret]));
    await folderWithProgram(secret);
    const projected = await folderWithProgram(volume('projected', 'all'));
    const downward = await folderWithProgram(volume('downward-api', 'pod'));
    // As the kubelet mounts a part of an emptyDir before the runtime does.
    const part = await folderWithProgram(join(disk, 'part'));
    const subPath = join(pod, 'volume-subpaths/cache/main/0');
    await mkdir(subPath, { recursive: true });
    await must('mount', ['--bind', part, subPath]);
    t.after(() => must('umount', [subPath]));
    const one = join(disk, 'one');
    await writeFile(one, '');
    const selector = { operation: ['modifyFile'], targetFilePath: ['/**'] };
    const gated = await gate(t, {
      tables: {
        [id]: tableOf({
          file: {
            selectors: [
              { name: 'everywhere', ...selector },
              { name: 'notonvolumes', ...selector, ignoreVolumeMounts: true },
              { name: 'notonfiles', ...selector, ignoreVolumeFiles: true },
            ],
            responses: [{ match: ['everywhere', 'notonvolumes', 'notonfiles'], actions: ['alert'] }],
          },
        }),
      },
    });
    const container = await start(t, {
      id,
      volumes: [
        bind(config, '/config'),
        bind(disk, '/disk'),
        bind(secret, '/secret'),
        bind(one, '/one'),
        bind(forged, '/forged'),
        bind(projected, '/projected'),
        bind(downward, '/downward'),
        bind(subPath, '/part'),
        memory('/memory'),
      ],
    });
    await container.sh('cp /bin/busybox /memory/busybox');
    const all = [0, 1, 2];
    for (const [path, mount, selectors] of [
      ['/etc/passwd', 'root', all],
      ['/disk/busybox', 'volume', [0, 2]],
      ['/memory/busybox', 'volume', [0, 2]],
      ['/forged/busybox', 'volume', [0, 2]],
      ['/part/busybox', 'volume', [0, 2]],
      ['/one', 'volumeFile', [0]],
      ['/config/busybox', 'volumeFile', [0]],
      ['/secret/busybox', 'volumeFile', [0]],
      ['/projected/busybox', 'volumeFile', [0]],
      ['/downward/busybox', 'volumeFile', [0]],
    ] as const) {
      assert.equal(await opener(container, 'open', path, '0', 'WRONLY', 'APPEND'), 'ok');
      const event = await gated.event((each) => each.path === path && each.process.name === 'opener');
      assert.deepEqual([event.mount, event.policies[0]?.selectors], [mount, selectors], path);
    }
  });

  for (const [what, ...how] of [
    ['in memory', '-t', 'tmpfs', 'tmpfs'],
    ['of a volume that it has', '-o', 'bind', '/data'],
  ]) {
    test(`later, ${what}, is watched, too`, {
      skip: !isInstalled('nsenter') && 'needs nsenter',
    }, async (t) => {
      const id = newId();
      const gated = await gate(t, { tables: { [id]: execTable(['/mnt/**'], blocked) } });
      const container = await start(t, { id, volumes: [bind(await folderWithProgram(), '/data')] });
      await container.sh('mkdir /mnt');
      await must('nsenter', ['-t', String(container.pid), '-m', '/bin/busybox', 'mount', ...how, '/mnt']);
      await container.sh('cp /bin/busybox /mnt/busybox-later');
      assert.notEqual((await container.exec('/mnt/busybox-later', 'true')).exitCode, 0);
      await gated.event(({ path, verdict }) => path === '/mnt/busybox-later' && verdict === 'deny');
    });
  }

  test('is watched in a mount namespace that the container makes', async (t) => {
    const id = newId();
    const folder = await folderWithProgram();
    await gate(t, { tables: { [id]: execTable(['/data/**'], blocked) } });
    const container = await start(t, { id, volumes: [bind(folder, '/data')] });
    const inside = (line: string) => container.exec('/bin/busybox', 'unshare', '-Um', '/bin/sh', '-c', line);
    assert.equal((await inside('echo inside')).stdout, 'inside\n');
    assert.equal((await inside('/data/busybox true')).exitCode, 126);
  });

  test('was mounted before the gate opened', async (t) => {
    const id = newId();
    const container = await start(t, { id, volumes: [memory('/cache')] });
    await container.sh('cp /bin/busybox /cache/busybox');
    const gated = await gate(t, { publish: 'never' });
    const key = await gated.keyOf(id);
    await gated.ask({ type: 'publish', key, table: execTable(['/cache/**'], blocked), generation: 1 });
    await gated.ask({ type: 'adopt', key, pid: container.pid });
    assert.notEqual((await container.exec('/cache/busybox', 'true')).exitCode, 0);
    await gated.event(({ path }) => path === '/cache/busybox');
  });
});

describe('a filesystem whose server never answers', { skip: skip ?? needsFuse() }, () => {
  test('is not watched, which is said, and no verdict waits for it', async (t) => {
    const id = newId();
    const gated = await gate(t, { tables: { [id]: fileTable(['modifyFile'], ['/etc/passwd'], blocked) } });
    const container = await start(t, { id });
    await container.sh('mkdir /mnt');
    const enter = ['-t', String(container.pid), '-m', '/bin/opener', 'deaf', '/mnt'];
    const server = spawn('nsenter', enter, { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => server.kill('SIGKILL'));
    const [said] = await once(server.stdout, 'data');
    assert.equal(String(said), 'ok\n');
    const { detail } = await eventually('it is said', () =>
      gated.failures.find(({ failure }) => failure === 'volume_unwatched'),
    );
    assert.match(detail, /`\/mnt`: a filesystem of type fuse$/);
    assert.equal(await opener(container, 'open', '/etc/passwd', '0', 'WRONLY'), 'EPERM');
    // As many as there are readers: none of them sleeps.
    const opens = await opener(container, 'poll', '/etc/passwd', '100', 'WRONLY');
    assert.ok(Number(opens.split(' ')[0]) > 100, opens);
  });
});

describe('what watching volumes costs', { skip }, () => {
  test('rules about exec alone, or no policy, cost opens on volumes nothing', async (t) => {
    const id = newId();
    const folder = await folderWithProgram();
    const gated = await gate(t, { tables: { [id]: execTable(['/none'], ['alert']) } });
    const container = await start(t, { id, volumes: [memory('/cache'), bind(folder, '/data')] });
    await container.sh('echo > /cache/file');
    /** Verdicts for each open of the file; a few others come from the exec that opens it. */
    const verdictsOf = async (path: string) => {
      const { verdicts } = await gated.stats();
      const [opens] = (await opener(container, 'poll', path, '50', 'RDONLY')).split(' ');
      return Math.round((await gated.stats()).verdicts - verdicts) / Number(opens);
    };
    assert.ok((await verdictsOf('/data/busybox')) < 0.5);
    assert.ok((await verdictsOf('/cache/file')) < 0.5);
    const key = await gated.keyOf(id);
    const publish = (table: string | null, generation: number) =>
      gated.ask({ type: 'publish', key, table, generation });
    await publish(fileTable(['modifyFile'], ['/none'], ['alert']), 2);
    assert.ok((await verdictsOf('/data/busybox')) >= 1);
    assert.ok((await verdictsOf('/cache/file')) >= 1);
    assert.ok((await verdictsOf('/dev/null')) < 0.5, 'devices are not looked at');
    await publish(null, 3);
    assert.ok((await verdictsOf('/data/busybox')) < 0.5);
    assert.ok((await verdictsOf('/cache/file')) < 0.5);
  });

  test('the host uses a folder that is a volume as before', async (t) => {
    const id = newId();
    const folder = await folderWithProgram();
    const table = execTable(['/**'], blocked);
    const gated = await gate(t, { tables: { [id]: null } });
    const container = await start(t, { id, volumes: [bind(folder, '/data')] });
    await gated.ask({ type: 'publish', key: await gated.keyOf(id), table, generation: 2 });
    assert.notEqual((await container.exec('/data/busybox', 'true')).exitCode, 0);
    const { verdicts } = await gated.stats();
    for (let i = 0; i < 20; i++) await must(join(folder, 'busybox'), ['true']);
    assert.ok((await gated.stats()).verdicts - verdicts < 20);
  });

  test('a container that has ended keeps no volume busy', async (t) => {
    const id = newId();
    const folder = await mkdtemp(join(host.folder, 'volume-'));
    await must('mount', ['-t', 'tmpfs', 'tmpfs', folder]);
    t.after(() => run('umount', [folder]));
    const gated = await gate(t, { tables: { [id]: fileTable(['modifyFile'], ['/none'], ['alert']) } });
    const container = await start(t, { id, volumes: [bind(folder, '/data')] });
    const key = await gated.keyOf(id);
    await container.remove();
    await eventually('the container is gone', () => gated.gone.includes(key));
    await must('umount', [folder]);
  });
});
