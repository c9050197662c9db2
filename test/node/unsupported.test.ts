/** Kernels that cannot gate: it is said what is not done, and no process ends again and again. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { openGate } from '../../src/native/gate.ts';
import { keeperProgram } from '../../src/native/keeperProgram.ts';
import { isKeeperAlive } from '../support/keeper.ts';
import { eventually, isInstalled, must, run } from '../support/programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
const isRoot = process.platform === 'linux' && process.getuid?.() === 0;
const skip = isRoot && isInstalled('gcc') ? undefined : 'needs Linux, root, gcc';
let folder: string;
let withoutCalls: string;

before(async () => {
  if (skip !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'd4c-gate-unsupported-'));
  withoutCalls = join(folder, 'withoutCalls');
  await must('gcc', [
    '-O1',
    '-Wall',
    '-o',
    withoutCalls,
    join(import.meta.dirname, '../support/withoutCalls.c'),
  ]);
});
after(async () => {
  if (skip === undefined) await rm(folder, { recursive: true });
});

const ungated = 'nothing is gated on this node';
const kernels = [
  {
    calls: 'permission',
    name: 'permission events',
    call: 'fanotify_mark',
    error: 'Invalid argument',
    what: 'no rule that blocks is enforceable on this node, what happens is only reported',
    probed: 'rules that block are NOT ENFORCEABLE: what happens is only reported',
    unready:
      'no rule that blocks is enforceable on this node, what happens is only reported: this kernel refuses',
  },
  {
    calls: 'fanotify',
    name: 'fanotify',
    call: 'fanotify_init',
    error: 'Function not implemented',
    what: ungated,
    probed: 'rules that block are NOT ENFORCEABLE: nothing is reported either',
    unready: `${ungated}: cannot open a permission group: fanotify_init`,
  },
];

/** A keeper that `wrapper` runs, once it listens. */
async function listening(t: TestContext, wrapper: string[], socket: string): Promise<ChildProcess> {
  const [command = '', ...args] = [...wrapper, keeperProgram(), '--socket', socket];
  const keeper = spawn(command, args, { stdio: 'ignore' });
  t.after(() => keeper.kill('SIGKILL'));
  await eventually('the keeper listens', () => existsSync(socket));
  return keeper;
}

/** An agent that `wrapper` runs, and what it has logged. `end` tells it to end, and gives its exit code. */
function telling(t: TestContext, wrapper: string[], flags: string[]) {
  const [command = '', ...args] = [...wrapper, process.execPath, main, 'node', ...flags];
  const agent = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => agent.kill('SIGKILL'));
  let log = '';
  agent.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  const ended = new Promise<number | null>((resolve) => agent.once('exit', resolve));
  const end = () => {
    agent.kill('SIGTERM');
    return ended;
  };
  return { agent, log: () => log, end };
}

/** That an agent which joins a keeper that `wrapper` runs says so and does not end until it is told to. */
async function stays(t: TestContext, socket: string, wrapper: string[], what: string, reason: RegExp) {
  const keeper = await listening(t, wrapper, socket);
  const flags = ['--policies', folder, '--output', 'stdout', '--keeper', 'join', '--keeper-socket', socket];
  const { agent, log, end } = telling(t, [], flags);
  await eventually('it says so', () => log().includes(what), 20_000);
  assert.match(log(), reason);
  assert.deepEqual([agent.exitCode, keeper.exitCode], [null, null]);
  assert.equal(await end(), 0);
}

for (const { calls, name, call, error, what, probed, unready } of kernels) {
  const reason = new RegExp(`: ${call}: ${error}`, 'i');

  describe(`a kernel without ${name}`, { skip }, () => {
    const d4cGate = (...args: string[]) => run(withoutCalls, [calls, process.execPath, main, ...args]);

    test('is told of by `status --probe`', async () => {
      const { exitCode, stdout } = await d4cGate('status', '--probe');
      assert.equal(exitCode, 0);
      for (const each of ['opens', 'execs'])
        assert.ok(stdout.includes(`no   ${each} can be refused (${call}: ${error})`), stdout);
      assert.ok(stdout.includes(`${probed}\n`), stdout);
      assert.match(stdout, /^yes {2}forks are seen$/m);
    });

    // On a kernel without permission events it starts and reports: telemetry.test.ts.
    const isUngated = what === ungated;
    const title = 'lets no agent of a plain host start, which says why and leaves no keeper';
    if (isUngated)
      test(title, async () => {
        const socket = join(folder, `${calls}.sock`);
        const flags = ['--policies', folder, '--output', 'stdout', '--keeper-socket', socket];
        const { exitCode, stderr } = await d4cGate('node', ...flags);
        assert.equal(exitCode, 2);
        assert.match(stderr, reason);
        assert.match(stderr, /\(GATE_UNSUPPORTED\)/);
        const keeper = Number(await readFile(`${socket}.lock`, 'utf8'));
        await eventually('the keeper has ended', async () => !(await isKeeperAlive(keeper)));
      });

    test('is no gate for an agent that does not say that it may only hear', async (t) => {
      const socket = join(folder, `${calls}-older.sock`);
      await listening(t, [withoutCalls, calls], socket);
      const none = () => undefined;
      const callbacks = {
        onContainer: none,
        onFirstExec: none,
        onContainerGone: none,
        onEvents: none,
        onFailure: none,
      };
      const options = { mode: 'enforce', holdMs: 1_000, onUnknown: 'allow', ...callbacks } as const;
      await assert.rejects(openGate(options, { how: 'join', socket }), { code: 'GATE_UNSUPPORTED' });
    });

    test('does not make an agent end that an init system would start again', (t) =>
      stays(t, join(folder, `${calls}-joined.sock`), [withoutCalls, calls], what, reason));

    test('does not make an agent in a cluster end: it stays, is not ready and says what is not done', async (t) => {
      const kubeconfig = join(folder, `${calls}.kubeconfig`);
      const health = join(folder, `${calls}.health`);
      const cluster = { server: 'https://127.0.0.1:1', 'insecure-skip-tls-verify': true };
      const config = {
        clusters: [{ name: 'none', cluster }],
        users: [{ name: 'none', user: { token: 'none' } }],
        contexts: [{ name: 'none', context: { cluster: 'none', user: 'none' } }],
        'current-context': 'none',
      };
      await writeFile(kubeconfig, JSON.stringify({ apiVersion: 'v1', kind: 'Config', ...config }));
      const flags = ['--kubeconfig', kubeconfig, '--keeper', 'off', '--health-file', health];
      const { agent, log, end } = telling(t, [withoutCalls, calls], flags);
      await eventually('it says so', () => log().includes(what), 20_000);
      assert.match(log(), /"code":"GATE_UNSUPPORTED"/);
      assert.match(log(), reason);
      const { isReady } = await eventually('its health says so, too', async () => {
        const said = JSON.parse(await readFile(health, 'utf8'));
        return said.reason.startsWith(unready) ? said : undefined;
      });
      assert.equal(isReady, false);
      assert.equal((await run(process.execPath, [main, 'health', health, '--alive'])).exitCode, 0);
      const probe = await run(process.execPath, [main, 'health', health]);
      assert.equal(probe.exitCode, 1);
      // What `kubectl describe pod` shows: docs/errors.md is found by the code.
      assert.match(probe.stderr, /\(GATE_UNSUPPORTED\)$/m);
      assert.equal(agent.exitCode, null);
      assert.equal(await end(), 0);
    });
  });
}

test('a keeper without SYS_ADMIN does not make an agent end that an init system would start again', {
  skip: skip ?? (isInstalled('setpriv') ? undefined : 'needs setpriv'),
}, (t) => {
  const without = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin'];
  const reason = /fanotify_init: operation not permitted/;
  return stays(t, join(folder, 'not-permitted.sock'), without, ungated, reason);
});
