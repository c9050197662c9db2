/** A task that keeps whoever judges it waits no longer than the deadline, and keeps nobody else. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, rm, rmdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { ContainerHost } from '../support/containers.ts';
import { detain } from '../support/detainer.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { holdings, keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, run } from '../support/programs.ts';
import { classesOf, makeBusy, SchedulingClass } from '../support/scheduling.ts';
import { execTable as execTableOf, tableOf, testGate } from '../support/testGate.ts';
import { pidOf, wchanOf, wchansOf } from '../support/waits.ts';

const skip = gateRequirements();
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const deadlineMs = 200;

/** Every exec is reported with its arguments; which action decides is up to the test. */
const execTable = (actions: string[]) => ({
  file: {
    selectors: [{ name: 'passwd', operation: ['modifyFile'], targetFilePath: ['/etc/passwd'] }],
    responses: [{ match: ['passwd'], actions: ['alert', 'block'] }],
  },
  process: {
    selectors: [{ name: 'kept', operation: ['exec'], processExecutable: ['/usr/bin/linked'] }],
    responses: [{ match: ['kept'], actions }],
  },
});

async function gated(t: TestContext, actions: string[], options: object = {}) {
  const id = `${containerPrefix}${process.pid}-deadline-${++count}`;
  const gate = await testGate({ tables: { [id]: tableOf(execTable(actions)) }, options });
  t.after(gate.close);
  const container = await host.startRunc({ id });
  t.after(container.remove);
  return { gate, container, id };
}

/** Executes `/usr/bin/linked` with arguments that never come, for as long as `ms`. userfaultfd needs a capability. */
async function keep(id: string, ms: number): Promise<{ outcome: string; tookMs: number }> {
  const { stdout, stderr } = await run('runc', [
    ...['exec', '--cap', 'CAP_SYS_PTRACE', '--cap', 'CAP_SYS_ADMIN', id],
    ...['/bin/opener', 'kept', '/usr/bin/linked', String(ms)],
  ]);
  const [outcome = stderr, us = '0'] = stdout.trim().split(' ');
  return { outcome, tookMs: Number(us) / 1000 };
}

/** Where the kernel counts tasks. */
const pidsFolder = ['/sys/fs/cgroup/pids', '/sys/fs/cgroup'].find((folder) =>
  existsSync(join(folder, 'cgroup.procs')),
);

/** Puts the process in a cgroup of its own, and gives the means to say how many tasks may be in it. */
async function taskLimit(t: TestContext, pid: number): Promise<(most: number | 'max') => Promise<void>> {
  const folder = join(pidsFolder ?? '', `${containerPrefix}${process.pid}-tasks`);
  await mkdir(folder);
  t.after(() =>
    eventually('the cgroup is empty', () =>
      rmdir(folder).then(
        () => true,
        () => false,
      ),
    ),
  );
  await writeFile(join(folder, 'cgroup.procs'), String(pid));
  return (most) => writeFile(join(folder, 'pids.max'), String(most));
}

describe('an exec whose arguments never come', { skip }, () => {
  test('is refused at the deadline where a rule blocks execs, and counted', async (t) => {
    const { gate, id } = await gated(t, ['alert', 'block']);
    const { outcome, tookMs } = await keep(id, 500);
    assert.equal(outcome, 'EPERM');
    assert.ok(tookMs >= deadlineMs - 10 && tookMs < deadlineMs + 100, `${tookMs} ms`);
    await eventually('it is counted', () =>
      gate.failures.find(({ failure }) => failure === 'deadline_missed'),
    );
    const { late, denied } = await gate.stats();
    assert.deepEqual([late, denied], [1, 1]);
    // It is told, too, once its memory is gone: what the deadline answered, and not twice.
    const event = await gate.event(({ path }) => path === '/usr/bin/linked');
    assert.deepEqual([event.verdict, event.decidedBy], ['deny', 'deadline']);
  });

  test('goes on where rules only report', async (t) => {
    const { gate, id } = await gated(t, ['alert']);
    // The kernel copies the same arguments after the verdict, and is kept by them, too.
    const kept = keep(id, 500);
    await eventually('it is counted', () =>
      gate.failures.find(({ failure }) => failure === 'deadline_missed'),
    );
    const { late, denied } = await gate.stats();
    assert.deepEqual([late, denied], [1, 0]);
    await run('runc', ['kill', id, 'KILL']);
    await kept;
  });

  test('is refused, and others are answered, where the kernel grants no thread in the place of the one that it keeps', async (t) => {
    const { gate, container, id } = await gated(t, ['alert', 'block']);
    const [keeper = 0] = await keepersOf(gate.pid);
    const limit = await taskLimit(t, keeper);
    const { threads } = await holdings(keeper);
    await limit(threads);
    const { outcome } = await keep(id, 500);
    assert.equal(outcome, 'EPERM');
    await eventually('it is counted', () =>
      gate.failures.find(({ failure, detail }) => failure === 'event_unread' && detail.startsWith('clone: ')),
    );
    await limit('max');
    await eventually(
      'there are as many readers again',
      async () => (await holdings(keeper)).threads >= threads,
    );
    const { stdout } = await container.sh('echo x >> /etc/passwd || echo refused');
    assert.equal(stdout, 'refused\n');
  });

  test('delays nobody else, however many there are', async (t) => {
    const { gate, container, id } = await gated(t, ['alert', 'block']);
    const others = await gated(t, ['alert', 'block']);
    const kept = Array.from({ length: 6 }, () => keep(id, 3_000));
    await eventually('readers are kept', async () => (await gate.stats()).late >= 1);
    for (const one of [container, others.container]) {
      const [opens, refused, longestUs] = (await opener(one, 'poll', '/etc/passwd', '1000', 'WRONLY'))
        .split(' ')
        .map(Number);
      assert.equal(refused, opens);
      assert.ok((longestUs ?? 0) < (deadlineMs + 100) * 1000, `${longestUs} us`);
      assert.ok((opens ?? 0) > 500, `${opens} opens`);
    }
    for (const { outcome, tookMs } of await Promise.all(kept)) {
      assert.equal(outcome, 'EPERM');
      assert.ok(tookMs < deadlineMs + 100, `${tookMs} ms`);
    }
  });

  for (const [doing, line] of [
    ['opens one file after the other', 'exec /bin/opener poll /etc/passwd /tmp/enough RDONLY'],
    ['executes one program after the other', 'while [ ! -e /tmp/enough ]; do /bin/busybox true; done'],
  ]) {
    test(`delays nobody until the deadline where a task ${doing}`, {
      skip: availableParallelism() < 2 && 'needs two processors',
    }, async (t) => {
      const { gate, container, id } = await gated(t, ['alert', 'block']);
      const others = await gated(t, ['alert', 'block']);
      const [keeper = 0] = await keepersOf(gate.pid);
      const busy = container.sh(line ?? '');
      // One reader answers alone; on a machine that has processors to spare.
      const isAlone = async () =>
        (await classesOf(keeper, 'd4c-reader')).some((each) => each !== SchedulingClass.first);
      await eventually('a reader is on duty', isAlone, 30_000);
      const visiting = opener(others.container, 'visit', '/etc/passwd', '1000', 'WRONLY');
      const kept = await keep(id, 600);
      const [opens, refused, longestUs = 0] = (await visiting).split(' ').map(Number);
      await container.sh('touch /tmp/enough');
      await busy;
      t.diagnostic(`${opens} opens; longest wait ${longestUs} us`);
      assert.equal(kept.outcome, 'EPERM');
      assert.equal(refused, opens);
      assert.ok(longestUs < (deadlineMs / 2) * 1000, `${longestUs} us`);
    });
  }

  test('is told without them where its task was let go on before they were read, and waits no longer than for others', {
    skip: availableParallelism() < 2 && 'needs two processors',
  }, async (t) => {
    // Longer than for what has not come to rest.
    const longMs = 1_300;
    const ids = [1, 2].map(() => `${containerPrefix}${process.pid}-deadline-${++count}`);
    const table = tableOf(execTable(['alert']));
    const tables = Object.fromEntries(ids.map((each) => [each, table]));
    const gate = await testGate({ tables, options: { deadlineMs: longMs } });
    t.after(gate.close);
    const [container, other] = await Promise.all(ids.map((each) => host.startRunc({ id: each })));
    for (const each of [container, other]) t.after(each?.remove);
    const [keeper = 0] = await keepersOf(gate.pid);
    const { threads } = await holdings(keeper);
    const isOnDuty = async () => (await classesOf(keeper, 'd4c-reader')).includes(SchedulingClass.ordinary);
    const go = `/proc/${container?.pid}/root/tmp/go`;
    for (let attempt = 1; ; attempt++) {
      await rm(go, { force: true });
      const { late: before } = await gate.stats();
      const line = `while [ ! -e /tmp/go ]; do /bin/busybox true; done; exec /bin/opener kept /usr/bin/linked 0`;
      const kept = run(
        'runc',
        [
          ...['exec', '--cap', 'CAP_SYS_PTRACE', '--cap', 'CAP_SYS_ADMIN', container?.id ?? ''],
          ...['/bin/sh', '-c', line],
        ],
        { limitMs: 60_000 },
      );
      await eventually('a reader is on duty', isOnDuty, 30_000);
      await writeFile(go, '');
      const pid = await eventually('its program is executed', () => pidOf('/bin/opener kept '));
      const started = performance.now();
      const isDone = other
        ?.sh('for i in 1 2 3 4 5 6 7 8 9 10; do /bin/busybox true || exit 1; done')
        .then(({ exitCode }) => exitCode === 0 && performance.now() - started);
      await eventually('it reads its arguments', async () => (await wchanOf(pid)) === 'handle_userfault');
      const tookMs = performance.now() - started;
      const doneMs = await isDone;
      await eventually(
        'another thread reads in the place of the one that it keeps',
        async () => (await holdings(keeper)).threads > threads,
      );
      process.kill(pid, 'SIGKILL');
      await kept;
      await eventually('that ends', async () => (await holdings(keeper)).threads <= threads);
      const { late, denied } = await gate.stats();
      const told = await gate.event(
        ({ path, process: facts }) => path === '/usr/bin/linked' && facts.pid === pid,
      );
      t.diagnostic(`attempt ${attempt}: ${tookMs} ms, ${late - before} late; others ${doneMs} ms`);
      assert.ok(doneMs && doneMs < longMs / 2, `${doneMs} ms`);
      assert.equal(denied, 0);
      assert.deepEqual(told.process.args, []);
      // Nobody was on duty any more.
      if (late > before && attempt < 12) continue;
      assert.equal(late, before);
      assert.equal(told.process.argsTruncated, true);
      assert.deepEqual([told.verdict, told.decidedBy], ['allow', 'rule']);
      assert.ok(tookMs > longMs / 2 && tookMs < longMs + 100, `${tookMs} ms`);
      break;
    }
  });

  test('is not waited for when the gate closes', async (t) => {
    const { gate, id } = await gated(t, ['alert', 'block'], { deadlineMs: 100 });
    const kept = keep(id, 2_000);
    await eventually('a reader is kept', async () => (await gate.stats()).late === 1);
    const started = performance.now();
    await gate.close();
    assert.ok(performance.now() - started < 1_500);
    assert.equal((await kept).outcome, 'EPERM');
  });

  test('is waited for until the deadline when the gate closes before that', async (t) => {
    const { gate, id } = await gated(t, ['alert', 'block'], { deadlineMs: 500 });
    const [keeper = 0] = await keepersOf(gate.pid);
    const kept = keep(id, 2_500);
    await eventually('a reader reads what does not come', async () =>
      (await wchansOf(keeper)).includes('handle_userfault'),
    );
    const started = performance.now();
    await gate.close();
    assert.ok(performance.now() - started < 1_500);
    assert.equal((await kept).outcome, 'EPERM');
  });
});

describe('an event of which nobody knows yet whose it is when its reader is kept', { skip }, () => {
  for (const [actions, exitCode] of [
    [['alert', 'block'], 1],
    [['alert'], 0],
  ] as const) {
    test(`is ${exitCode === 0 ? 'allowed where no' : 'refused where a'} rule of the root filesystem blocks`, async (t) => {
      const id = `${containerPrefix}${process.pid}-deadline-${++count}`;
      const table = execTableOf(['/none'], [...actions]);
      const gate = await testGate({ publish: 'found', tables: { [id]: table }, options: { deadlineMs } });
      t.after(gate.close);
      const [keeper = 0] = await keepersOf(gate.pid);
      const { threads: atFirst } = await holdings(keeper);
      const { letGo, hasDetained } = await detain(t, host.folder, keeper);
      // Its first exec is of a program of which no rule speaks.
      const ran = await host.runRunc({ id, args: ['/bin/true'] });
      assert.ok(hasDetained());
      assert.equal(ran.exitCode, exitCode, ran.stderr);
      const { late, denied } = await gate.stats();
      assert.deepEqual([late, denied], [1, exitCode]);
      await letGo();
      // The reader goes on with an event that was answered, and ends.
      await eventually('as many readers as before', async () => (await holdings(keeper)).threads <= atFirst);
    });
  }
});

/** For each group that several of the keeper's threads wait for: whether each of its events wakes only one of them. */
async function wakesOne(keeper: number): Promise<boolean[]> {
  const polls = new Map<string, boolean[]>();
  for (const name of await readdir(`/proc/${keeper}/fd`)) {
    const info = await readFile(`/proc/${keeper}/fdinfo/${name}`, 'utf8').catch(() => '');
    for (const [, file = '', events = ''] of info.matchAll(/^tfd: +(\d+) +events: +([0-9a-f]+)/gm)) {
      const link = await readlink(`/proc/${keeper}/fd/${file}`).catch(() => '');
      // EPOLLEXCLUSIVE
      const isExclusive = (Number.parseInt(events, 16) & (1 << 28)) !== 0;
      if (link === 'anon_inode:[fanotify]') polls.set(file, [...(polls.get(file) ?? []), isExclusive]);
    }
  }
  return [...polls.values()].filter((each) => each.length > 1).map((each) => each.every(Boolean));
}

/** How often the threads that read events have gone to sleep. */
async function sleepsOfReaders(keeper: number): Promise<number> {
  let sum = 0;
  for (const tid of await readdir(`/proc/${keeper}/task`)) {
    const status = await readFile(`/proc/${keeper}/task/${tid}/status`, 'utf8').catch(() => '');
    if (status.startsWith('Name:\td4c-reader\n'))
      sum += Number(/^voluntary_ctxt_switches:\t(\d+)$/m.exec(status)?.[1]);
  }
  return sum;
}

describe('on a machine whose processors are all busy', {
  skip: skip ?? (availableParallelism() < 2 && 'needs two processors'),
}, () => {
  test('an event wakes one reader, and none waits when that one is kept', async (t) => {
    const { gate, container, id } = await gated(t, ['alert', 'block']);
    const [keeper = 0] = await keepersOf(gate.pid);
    const { length: groups } = await wakesOne(keeper);
    assert.ok(groups > 0);
    // Who answers at the deadline is as early as who answers before it.
    const classes = [
      ...(await classesOf(keeper, 'd4c-watchdog')),
      ...(await classesOf(keeper, 'd4c-reader')),
    ];
    assert.deepEqual([...new Set(classes)], [SchedulingClass.first]);
    makeBusy(t);
    await eventually('each event wakes one', async () => (await wakesOne(keeper)).every(Boolean), 10_000);
    const before = { sleeps: await sleepsOfReaders(keeper), ...(await gate.stats()) };
    const [opens = 0, refused] = (await opener(container, 'visit', '/etc/passwd', '1000', 'WRONLY'))
      .split(' ')
      .map(Number);
    assert.equal(refused, opens);
    const [sleeps, verdicts] = [
      (await sleepsOfReaders(keeper)) - before.sleeps,
      (await gate.stats()).verdicts - before.verdicts,
    ];
    t.diagnostic(`${sleeps} sleeps of readers for ${verdicts} verdicts`);
    assert.ok(opens > 100 && sleeps < 1.5 * verdicts, `${opens} opens`);

    const kept = keep(id, 1_500);
    await eventually('a reader is kept', async () => (await gate.stats()).late === 1);
    const [later, denied, longestUs = 0] = (await opener(container, 'visit', '/etc/passwd', '1000', 'WRONLY'))
      .split(' ')
      .map(Number);
    t.diagnostic(`${later} opens beside a kept reader, the longest ${longestUs} us`);
    assert.equal(denied, later);
    assert.ok(longestUs < (deadlineMs + 100) * 1000, `${longestUs} us`);
    assert.ok((await wakesOne(keeper)).every(Boolean));
    assert.equal((await kept).outcome, 'EPERM');
  });
});
