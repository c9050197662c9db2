/** What the gate answers, on real containers: every way to open a file, against each kind of rule. */

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { putDynamic } from '../support/dynamic.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, must, run } from '../support/programs.ts';
import { execTable, fileTable, type TestGate, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;
const idOf = (name: string): string => `${containerPrefix}${process.pid}-${name}`;
const upper = (id: string, path: string): string => join(host.folder, id, 'upper', path);

/** Of the unified hierarchy, in which every runtime puts what it starts. */
function cgroupFolder(pid: number): string {
  const path = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '/';
  const mounted = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((folder) =>
    existsSync(join(folder, path, 'cgroup.procs')),
  );
  assert.ok(mounted !== undefined && path !== '/', 'a container without a cgroup of its own');
  return join(mounted, path);
}

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

/** A gate and a container under a table, for the tests of one block. */
function containerUnder(id: string, table: () => string, options: object = {}) {
  const made = {} as { gate: TestGate; container: Container };
  before(async () => {
    made.gate = await testGate({ tables: { [id]: table() }, options });
    made.container = await host.startRunc({ id });
  });
  after(async () => {
    await made.container?.remove();
    await made.gate?.close();
  });
  return made;
}

describe('exec', { skip }, () => {
  const made = containerUnder(idOf('exec'), () =>
    execTable(['/tmp/**', '/usr/bin/linked'], ['alert', 'block']),
  );

  test('a program that no rule covers runs', async () => {
    assert.equal((await made.container.exec('/usr/local/bin/hello')).stdout, 'hello\n');
  });

  test('a program that is blocked by path does not run, and the event tells who tried', async () => {
    const { exitCode } = await made.container.sh("cd /var; /usr/bin/linked one 'two three'; exit $?");
    assert.equal(exitCode, 126);
    const event = await made.gate.event(({ path }) => path === '/usr/bin/linked');
    const { verdict, outcome, decidedBy, policies, process, parent, file } = event;
    assert.deepEqual(
      { verdict, outcome, decidedBy },
      { verdict: 'deny', outcome: 'prevented', decidedBy: 'rule' },
    );
    assert.deepEqual(policies, [{ policy: 0, actions: ['alert', 'block'], selectors: [0] }]);
    assert.deepEqual(process.args, ['/usr/bin/linked', 'one', 'two three']);
    assert.deepEqual([process.executable, process.name], ['/usr/bin/linked', 'linked']);
    assert.deepEqual([process.workingDirectory, process.uid, process.euid], ['/var', 0, 0]);
    assert.equal(process.interactive, false);
    assert.equal(parent?.executable, '/bin/busybox');
    assert.equal(file.mode & 0o777, 0o755);
    assert.ok(Math.abs(event.timeUs / 1000 - Date.now()) < 60_000);
    assert.match(event.cgroup, /-exec$/);
  });

  test('a program is blocked under the name by which it is executed', async () => {
    const { exitCode } = await made.container.dropAndRun('/tmp/busybox-dropped');
    assert.equal(exitCode, 126);
    await made.container.sh('mkdir -p /opt && cp /bin/busybox /opt/busybox-kept');
    assert.equal((await made.container.exec('/opt/busybox-kept', 'echo', 'ran')).stdout, 'ran\n');
  });

  test('a script is an exec, and so is its interpreter', async () => {
    await made.container.sh(
      "printf '#!/usr/bin/linked sh\\necho ran\\n' > /root/script; chmod 755 /root/script",
    );
    assert.notEqual((await made.container.exec('/root/script')).stdout, 'ran\n');
    await made.container.sh("printf '#!/bin/sh\\necho ran\\n' > /tmp/script; chmod 755 /tmp/script");
    assert.notEqual((await made.container.exec('/tmp/script')).stdout, 'ran\n');
  });

  test('processes of the host are not of the container', async () => {
    // Its path on the host, below /tmp, is one that the rule forbids to the container.
    const busybox = join(host.folder, idOf('exec'), 'rootfs/bin/busybox');
    assert.equal((await run(busybox, ['echo', 'ran'])).stdout, 'ran\n');
  });

  test('of processes that live on the container’s files, those in its cgroup are the container’s', {
    skip: !isInstalled('nsenter') && 'needs nsenter',
  }, async () => {
    const own = cgroupFolder(made.container.pid);
    const below = join(own, 'below');
    const outside = join(own, '..');
    await mkdir(below);
    await made.container.sh('cp /bin/busybox /tmp/busybox');
    let count = 0;
    /** Whose a program is said to be that was executed after these moves. */
    const ownerAfter = async (...folders: string[]): Promise<number> => {
      const name = `entered-${++count}`;
      const moves = folders.map((folder) => `echo $$ > '${folder}/cgroup.procs' &&`).join(' ');
      const entering = `nsenter -t ${made.container.pid} -m /tmp/busybox echo ${name}`;
      const { stdout } = await run('sh', ['-c', `${moves} exec ${entering}`]);
      assert.equal(stdout, '');
      return (await made.gate.event(({ process }) => process.args.at(-1) === name)).key;
    };
    try {
      await made.container.exec('/tmp/busybox', 'echo', 'member');
      const { key } = await made.gate.event(({ process }) => process.args.at(-1) === 'member');
      // Each twice: what was known of the one before must not be said of the next.
      for (const _ of [1, 2]) {
        assert.notEqual(await ownerAfter(outside), key);
        assert.equal(await ownerAfter(own), key);
        assert.equal(await ownerAfter(own, below), key);
        assert.notEqual(await ownerAfter(own, outside), key);
      }
    } finally {
      await eventually('the cgroup is left', () =>
        rmdir(below).then(
          () => true,
          () => false,
        ),
      );
    }
  });
});

describe('creating an executable', { skip }, () => {
  const made = containerUnder(idOf('create'), () =>
    fileTable(['createExecutable'], ['/**'], ['alert', 'block']),
  );

  for (const [how, ...flags] of [
    ['open', 'CREAT', 'WRONLY'],
    ['open', 'CREAT', 'RDONLY'],
    ['open', 'CREAT', 'EXCL', 'RDWR'],
    ['creat'],
    ['openat2', 'CREAT', 'WRONLY'],
    ['uring', 'CREAT', 'WRONLY'],
    ['i386', 'CREAT', 'WRONLY'],
  ] as [string, ...string[]][]) {
    test(`${[how, ...flags].join(' ')} is refused, and leaves no file`, async (t) => {
      const path = `/tmp/${[how, ...flags].join('-')}`;
      const answer = await opener(made.container, how, path, '755', ...flags);
      if (answer === 'ENOSYS') return t.skip('the kernel does not know this call');
      assert.equal(answer, 'EPERM');
      assert.equal(existsSync(upper(idOf('create'), path)), false);
      const event = await made.gate.event((each) => each.path === path);
      assert.deepEqual([event.operations.includes('createExecutable'), event.rolledBack], [true, true]);
    });
  }

  test('an unnamed file is refused', async () => {
    assert.equal(await opener(made.container, 'tmpfile', '/tmp', '755'), 'EPERM');
    const event = await made.gate.event(({ path }) => /^\/tmp\/#\d+$/.test(path));
    assert.equal(event.rolledBack, undefined);
  });

  test('a file whose path cannot be read is refused', async () => {
    assert.equal(await opener(made.container, 'deep', 'CREAT', 'WRONLY'), 'EPERM');
    const failures = () => [...new Set(made.gate.failures.map(({ failure }) => failure))].sort();
    await eventually('the failures are reported', () => failures().length >= 2);
    assert.deepEqual(failures(), ['path_unread', 'rollback_failed']);
    await must('rm', ['-rf', upper(idOf('create'), 'd'.repeat(200))]);
  });

  test('a file that is not executable is created', async () => {
    assert.equal(await opener(made.container, 'open', '/tmp/plain', '644', 'CREAT', 'WRONLY'), 'ok');
    assert.ok(existsSync(upper(idOf('create'), '/tmp/plain')));
  });

  test('an old executable, also an empty one, is opened and stays', async () => {
    const path = '/usr/local/bin/hello';
    assert.equal(await opener(made.container, 'open', path, '755', 'CREAT', 'WRONLY'), 'ok');
    await made.container.sh('touch /root/empty; chmod 755 /root/empty');
    for (let i = 0; i < 5; i++) {
      assert.equal(await opener(made.container, 'open', '/root/empty', '755', 'CREAT', 'WRONLY'), 'ok');
    }
    assert.ok(existsSync(upper(idOf('create'), '/root/empty')));
  });

  test('a name that was deleted before is a creation too', async () => {
    await made.container.sh('rm /bin/vi');
    assert.equal(await opener(made.container, 'open', '/bin/vi', '755', 'CREAT', 'WRONLY'), 'EPERM');
    assert.equal((await made.container.exec('/bin/test', '-e', '/bin/vi')).exitCode, 1);
  });

  test('of thousands of racing creations none slips through', async () => {
    await made.container.sh('mkdir /race');
    assert.equal(await opener(made.container, 'race', '/race', '8', '500'), '0');
    assert.deepEqual(readdirSync(upper(idOf('create'), '/race')), []);
    // Each is told once, as an open, also when inode numbers are used again faster than their events are read.
    await made.container.exec('/bin/true');
    const racing = made.gate.events.filter(({ path }) => path.startsWith('/race/'));
    assert.deepEqual(
      racing.filter(({ kind }) => kind !== 'open').map(({ kind, path }) => `${kind} ${path}`),
      [],
    );
    const ofOtherTests = ['path_unread', 'rollback_failed'];
    assert.deepEqual(
      made.gate.failures.filter(({ failure }) => !ofOtherTests.includes(failure)),
      [],
    );
  });

  test('the host may put executables there', async () => {
    const path = join(host.folder, idOf('create'), 'rootfs/opt-of-host');
    await writeFile(path, '#!/bin/sh\n', { mode: 0o755 });
    assert.equal(readFileSync(path, 'utf8'), '#!/bin/sh\n');
  });
});

describe('modifying a file', { skip }, () => {
  const made = containerUnder(idOf('modify'), () =>
    fileTable(['modifyFile'], ['/etc/*'], ['alert', 'block']),
  );

  for (const [how, ...flags] of [
    ['open', 'WRONLY'],
    ['open', 'RDWR'],
    ['open', 'WRONLY', 'APPEND'],
    ['open', 'WRONLY', 'TRUNC'],
    ['open', 'RDONLY', 'TRUNC'],
    ['open', 'CREAT', 'WRONLY'],
    ['creat'],
    ['openat2', 'WRONLY'],
    ['uring', 'WRONLY'],
    ['i386', 'WRONLY'],
  ] as [string, ...string[]][]) {
    test(`${[how, ...flags].join(' ')} is refused before anything changes`, async (t) => {
      const answer = await opener(made.container, how, '/etc/passwd', '644', ...flags);
      if (answer === 'ENOSYS') return t.skip('the kernel does not know this call');
      assert.equal(answer, 'EPERM');
      assert.equal(existsSync(upper(idOf('modify'), '/etc/passwd')), false, 'nothing was copied up');
    });
  }

  for (const [how, ...flags] of [
    ['open', 'RDONLY'],
    ['open', 'CREAT', 'RDONLY'],
    ['open', 'RDONLY', 'APPEND'],
    ['open', 'PATH'],
    ['i386', 'RDONLY'],
  ] as [string, ...string[]][]) {
    test(`${[how, ...flags].join(' ')} only reads, and is allowed`, async (t) => {
      const answer = await opener(made.container, how, '/etc/passwd', '644', ...flags);
      if (answer === 'ENOSYS') return t.skip('the kernel does not know this call');
      assert.equal(answer, 'ok');
    });
  }

  test('what an open creates it does not modify', async () => {
    assert.equal(await opener(made.container, 'open', '/etc/new', '644', 'CREAT', 'WRONLY'), 'ok');
    assert.equal(await opener(made.container, 'open', '/etc/new', '644', 'CREAT', 'WRONLY'), 'EPERM');
  });

  test('the event tells which file and who', async () => {
    await opener(made.container, 'open', '/etc/group', '644', 'WRONLY');
    const { process, file, operations, kind } = await made.gate.event(({ path }) => path === '/etc/group');
    assert.deepEqual([kind, operations], ['open', ['modifyFile']]);
    assert.deepEqual([process.executable, process.args[1]], ['/bin/opener', 'open']);
    assert.equal(file.mode, 0o100644);
    assert.ok(file.inode > 0);
  });
});

describe('rules that only report', { skip }, () => {
  const made = containerUnder(idOf('log'), () =>
    tableOf({
      file: {
        selectors: [{ name: 'all', operation: ['createFile', 'modifyFile'], targetFilePath: ['/**'] }],
        responses: [{ match: ['all'], actions: ['log'] }],
      },
      process: {
        selectors: [{ name: 'all', operation: ['exec'] }],
        responses: [{ match: ['all'], actions: ['log'] }],
      },
    }),
  );

  test('nothing is refused, and every operation is reported once', async () => {
    assert.equal(await opener(made.container, 'open', '/tmp/a', '644', 'CREAT', 'WRONLY'), 'ok');
    assert.equal(await opener(made.container, 'open', '/tmp/a', '644', 'CREAT', 'WRONLY'), 'ok');
    assert.equal(await opener(made.container, 'openat2', '/etc/passwd', '0', 'RDONLY'), 'ok');
    await made.gate.event(({ process }) => process.args[1] === 'openat2');
    const opens = made.gate.events.filter(({ kind }) => kind === 'open');
    assert.deepEqual(
      opens.map(({ path, operations, outcome }) => [path, operations, outcome]),
      [
        ['/tmp/a', ['createFile'], 'detected'],
        ['/tmp/a', ['modifyFile'], 'detected'],
      ],
    );
    const sequences = made.gate.events.map(({ sequence }) => sequence);
    assert.deepEqual(
      sequences,
      [...new Set(sequences)].sort((a, b) => a - b),
    );
  });

  test('a dynamic program is one exec: its loader is not reported beside it', async () => {
    await putDynamic(join(host.folder, idOf('log'), 'rootfs'), '/bin/true', '/opt/dynamic');
    assert.equal((await made.container.exec('/opt/dynamic')).exitCode, 0);
    await made.gate.event(({ path }) => path === '/opt/dynamic');
    await made.container.exec('/bin/true');
    const execs = made.gate.events.filter(({ kind }) => kind === 'exec').map(({ path }) => path);
    assert.deepEqual(
      execs.filter((path) => /ld-|ld\.so/.test(path)),
      [],
    );
  });

  test('a loader that is called as a program is reported', async () => {
    const rootfs = join(host.folder, idOf('log'), 'rootfs');
    const loader = await putDynamic(rootfs, '/bin/true', '/opt/dynamic');
    assert.equal((await made.container.exec(loader, '/opt/dynamic')).exitCode, 0);
    await made.gate.event(({ path, kind }) => kind === 'exec' && /ld-|ld\.so/.test(path));
  });

  test('a program whose name was deleted is called by the name that it had', async () => {
    const path = '/root/busybox-gone';
    const deeds = `rm ${path}; : > /tmp/by-gone`;
    await made.container.sh(`cp /bin/busybox ${path}; ${path} sh -c '${deeds}'; exit 0`);
    const { process, parent } = await made.gate.event((each) => each.path === '/tmp/by-gone');
    assert.deepEqual([process.executable, parent?.executable], [path, '/bin/busybox']);
  });

  test('a program whose name ends as that of a deleted one is called by its whole name', async () => {
    const path = '/root/busybox (deleted)';
    const deeds = `: > /tmp/by-named; rm "${path}"; : > /tmp/by-named-and-gone`;
    await made.container.sh(`cp /bin/busybox "${path}"; "${path}" sh -c '${deeds}'; exit 0`);
    for (const name of ['/tmp/by-named', '/tmp/by-named-and-gone']) {
      const { process } = await made.gate.event((each) => each.path === name);
      assert.equal(process.executable, path);
    }
  });

  test('a folder that was deleted is called by the name it had, and one that is called so by its whole name', async () => {
    for (const [name, deed, told] of [
      ['/root/away', 'rm -r', '/tmp/in-deleted'],
      ['/root/here (deleted)', 'ls', '/tmp/in-named'],
    ] as const) {
      await made.container.sh(`mkdir "${name}"; cd "${name}"; ${deed} "${name}"; : > ${told}`);
      const { process } = await made.gate.event(({ path }) => path === told);
      assert.equal(process.workingDirectory, name);
    }
  });

  test('a session with a terminal is interactive', async (t) => {
    if (!isInstalled('script')) return t.skip('needs script');
    const command = `runc exec --tty ${idOf('log')} /bin/opener interactive`;
    await run('script', ['-qec', command, '/dev/null']);
    const event = await made.gate.event(({ process }) => process.args[1] === 'interactive');
    assert.equal(event.process.interactive, true);
  });
});

describe('sessionLeaderInteractive', {
  skip: skip ?? (isInstalled('script') ? undefined : 'needs script'),
}, () => {
  const id = idOf('interactive');
  const programs = (name: string, path: string, sessionLeaderInteractive: boolean) => ({
    ...{ name, operation: ['exec'], processExecutable: [path], sessionLeaderInteractive },
  });
  const made = containerUnder(id, () =>
    tableOf({
      process: {
        selectors: [
          programs('people', '/bin/opener', true),
          programs('machines', '/usr/local/bin/hello', false),
        ],
        responses: [{ match: ['people', 'machines'], actions: ['alert', 'block'] }],
      },
    }),
  );
  /** What both programs print, and who was refused. */
  const both = (by = '') =>
    `${by} /bin/opener open /etc/passwd 0 RDONLY || echo no; ${by} /usr/local/bin/hello || echo no`;
  /** What a shell line leaves in `/tmp/out`, by a session with a terminal or without. */
  const inSession = async (hasTerminal: boolean, line: string): Promise<string[]> => {
    const rootfs = join(host.folder, id, 'rootfs/tmp');
    await writeFile(join(rootfs, 'line'), `exec < /dev/null > /tmp/out 2> /dev/null\n${line}\n`);
    if (hasTerminal) await run('script', ['-qec', `runc exec --tty ${id} /bin/sh /tmp/line`, '/dev/null']);
    else await made.container.exec('/bin/sh', '/tmp/line');
    return readFileSync(join(rootfs, 'out'), 'utf8').trim().split('\n');
  };

  test('is true of what a shell at a terminal starts, also without that as its input', async () => {
    assert.deepEqual(await inSession(true, both()), ['no', 'hello']);
  });

  test('is false without a terminal', async () => {
    assert.deepEqual(await inSession(false, both()), ['ok', 'no']);
  });

  test('is false of a session of its own that is begun at a terminal', async () => {
    assert.deepEqual(await inSession(true, both('/bin/busybox setsid')), ['ok', 'no']);
  });

  test('is false when the session’s leader has ended, with which the terminal has gone', async () => {
    const later = `trap '' HUP; (while [ ! -e /tmp/go ]; do sleep 0.05; done; ${both()}; : > /tmp/end) &`;
    await inSession(true, later);
    await made.container.sh(': > /tmp/go; while [ ! -e /tmp/end ]; do sleep 0.05; done');
    const out = readFileSync(join(host.folder, id, 'rootfs/tmp/out'), 'utf8');
    assert.deepEqual(out.trim().split('\n'), ['ok', 'no']);
  });
});

for (const [what, gateMode, tableMode] of [
  ['the gate', 'observe', 'enforce'],
  ['the table', 'enforce', 'observe'],
] as const) {
  describe(`mode observe of ${what}`, { skip }, () => {
    const id = idOf(`observe-${gateMode}`);
    const table = () => fileTable(['createExecutable'], ['/**'], ['alert', 'block'], tableMode);
    const made = containerUnder(id, table, { mode: gateMode });

    test('what would be refused is allowed, reported as detected and left in place', async () => {
      assert.equal(await opener(made.container, 'open', '/tmp/x', '755', 'CREAT', 'WRONLY'), 'ok');
      const { verdict, outcome, rolledBack } = await made.gate.event(({ path }) => path === '/tmp/x');
      assert.deepEqual(
        { verdict, outcome, rolledBack },
        { verdict: 'allow', outcome: 'detected', rolledBack: undefined },
      );
      assert.ok(existsSync(upper(id, '/tmp/x')));
    });
  });
}
