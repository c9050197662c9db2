/** A task that keeps whoever judges it waits no longer than the deadline, and keeps nobody else. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { holdings } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must, run } from '../support/programs.ts';
import { execTable as execTableOf, tableOf, testGate } from '../support/testGate.ts';

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

  test('is not waited for when the gate closes', async (t) => {
    const { gate, id } = await gated(t, ['alert', 'block'], { deadlineMs: 100 });
    const kept = keep(id, 2_000);
    await eventually('a reader is kept', async () => (await gate.stats()).late === 1);
    const started = performance.now();
    await gate.close();
    assert.ok(performance.now() - started < 1_500);
    assert.equal((await kept).outcome, 'EPERM');
  });
});

/** Has a reader of the gate stop when it is about to read whose the event is. Ends with the test. */
async function detain(t: TestContext, keeper: number) {
  const program = join(host.folder, 'detainer');
  const source = join(import.meta.dirname, '../support/detainer.c');
  await must('gcc', ['-O1', '-Wall', '-o', program, source], { limitMs: 60_000 });
  const detainer = spawn(program, [String(keeper), 'd4c-reader', '/cgroup'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(detainer, 'exit');
  let said = '';
  detainer.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const letGo = async (): Promise<void> => {
    detainer.stdin.end();
    await ended;
  };
  t.after(letGo);
  await eventually('it watches', () => said.includes('watching'));
  return { letGo, hasDetained: () => said.includes('detained') };
}

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
      const keeper = Number(await readFile(`/proc/${gate.pid}/task/${gate.pid}/children`, 'utf8'));
      const { threads: atFirst } = await holdings(keeper);
      const { letGo, hasDetained } = await detain(t, keeper);
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
