import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { statusOf, statusText } from '../../src/cli/statusText.ts';
import { speech } from '../../src/native/greeting.ts';
import type { KeeperStatus } from '../../src/native/keeperStatus.ts';
import { namesOf, writePublication } from '../../src/node/publication.ts';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { identityWith } from '../node/identities.ts';
import { run } from '../support/programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
const status = (...args: string[]) => run(process.execPath, [main, 'status', ...args]);
const onLinux = process.platform === 'linux' ? undefined : 'needs Linux';

test('says that no keeper answers', { skip: onLinux }, async () => {
  const { exitCode, stderr } = await status('--keeper-socket', join(tmpdir(), 'no-such-keeper.sock'));
  assert.equal(exitCode, 2);
  assert.match(stderr, /no keeper answers at .*no-such-keeper\.sock.*\(KEEPER_UNREACHABLE\)/);
});

test('--probe needs no gate, no keeper and no root', { skip: onLinux }, async () => {
  const { exitCode, stdout } = await status('--probe', '--output', 'json');
  assert.equal(exitCode, 0);
  const { features, kernel } = JSON.parse(stdout);
  assert.match(kernel, /^\d+\./);
  for (const name of ['openEvents', 'execEvents', 'changesWithNames', 'pidfd', 'memfdNoexec', 'bpfLsm']) {
    const { isThere, reason } = features[name];
    assert.equal(typeof isThere, 'boolean', name);
    assert.equal(isThere, reason === undefined, name);
  }
  assert.match((await status('--probe')).stdout, /^Linux .*\n(yes|no ) {2}opens can be refused/);
});

test('--probe says what is missing where a process may do nothing', { skip: onLinux }, async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root, to give up its capabilities');
  const program = join(import.meta.dirname, '../../build/Release/d4c-gate-keeper');
  const { exitCode, stdout } = await run('setpriv', [
    '--bounding-set=-all',
    '--inh-caps=-all',
    program,
    '--probe',
  ]);
  assert.equal(exitCode, 0);
  const { features } = JSON.parse(stdout);
  assert.deepEqual(features.openEvents, {
    isThere: false,
    reason: 'fanotify_init: Operation not permitted',
  });
});

const { policy } = readPolicy(
  JSON.stringify({
    file: {
      selectors: [{ name: 'logs', operation: ['modifyFile', 'deleteFile'], targetFilePath: ['/var/log/**'] }],
      responses: [{ match: ['logs'], actions: ['alert', 'block'] }],
    },
  }),
  { mode: 'lenient' },
);
assert.ok(policy);
const identity = identityWith({});
const context = writePublication({
  generation: 3,
  mode: 'enforce',
  identity,
  policies: [namesOf(bind(compile('logs', policy), identity.workload))],
});

const outcomes = (prevented: number, contained: number, reverted: number, detected: number) => ({
  ...{ prevented, contained, reverted, detected },
});

const told: KeeperStatus = {
  pid: 7,
  speech,
  hasAgent: false,
  unconfirmed: 2,
  settings: {
    mode: 'enforce',
    holdMs: 2000,
    onUnknown: 'allow',
    onAgentLoss: 'keep',
    silenceMs: 10_000,
    deadlineMs: 200,
    onDeadline: 'rules',
    ...{ blockScripts: true, memfdNoexec: true, processEnds: false },
  },
  stats: {
    ...{ verdicts: 100, denied: 5, unknown: 1, late: 0 },
    ...{ held: 0, groups: 1, roots: 1, eventsDropped: 0 },
  },
  gate: {
    containers: [
      {
        ...{ key: 1, mountPoint: '/run/x/rootfs', cgroup: '/x', pid: 9, isPublished: true, hasTable: true },
        ...{ enforces: true, generation: 3, watch: 'execAndOpen', sharesGroup: false, held: 0, context },
        memfdNoexec: 'failed',
        ledger: [
          { policy: 'logs', section: 'file', selector: 'logs', ...outcomes(3, 0, 0, 2) },
          { policy: 'old', section: 'process', selector: 'all', ...outcomes(0, 1, 1, 0) },
        ],
      },
    ],
    latencies: [0, 0, 0, 0, 60, 39, 0, 0, 0, 0, 1],
    failures: { container_unknown: 1 },
    readers: 2,
    keptReaders: 0,
    eventsWaiting: 1,
    outcomes: outcomes(3, 1, 1, 2),
  },
};

test('names containers and policies, and says what each rule comes to', () => {
  const text = statusText(statusOf(told));
  assert.match(text, /NO AGENT is there/);
  assert.match(text, /half below 16 us, 99 % below 32 us, all below 1024 us/);
  assert.match(text, /3 wait to be written/);
  assert.match(text, /container_unknown 1/);
  assert.match(text, /registry\.example\/web.*: enforced, watched: execAndOpen/);
  assert.match(
    text,
    /policy logs\n {4}block logs: modifyFile is prevented; without an open detected \(fanotify\)\n {4}block logs: deleteFile is detected \(fanotify\)/,
  );
});

test('promises nothing of rules that block where nothing can be refused', () => {
  assert.ok(told.gate);
  const status = statusOf({
    ...told,
    gate: { ...told.gate, unenforceable: 'fanotify_mark: invalid argument' },
  });
  const [container] = status.gate?.containers ?? [];
  assert.equal(container?.enforces, false);
  assert.deepEqual(container.policies[0]?.blocks[0], {
    ...{ selector: 'logs', operation: 'modifyFile', backend: 'fanotify', outcome: 'detected' },
  });
  const text = statusText(status);
  assert.match(text, /^enforces NOTHING, what happens is only reported: fanotify_mark: invalid argument$/m);
  assert.match(text, /registry\.example\/web.*: NOT ENFORCEABLE, only reported, watched/);
  assert.match(text, /\n {4}block logs: modifyFile is not enforceable, only detected\n/);
});

test('counts what became of operations, by container and rule, also of policies that are bound no more', () => {
  const text = statusText(statusOf(told));
  assert.match(text, /^outcomes 3 prevented, 1 contained, 1 reverted, 2 detected$/m);
  assert.match(text, / {4}so far file logs: 3 prevented, 2 detected\n/);
  assert.match(text, / {2}policy old, not bound any more\n {4}so far process all: 1 contained, 1 reverted\n/);
});

test('says which opt-ins are on, and where one could not be done', () => {
  const text = statusText(statusOf(told));
  assert.match(text, /^opt-ins {2}scripts are blocked like programs; memfd programs are forbidden/m);
  assert.match(text, /memfd programs POSSIBLE \(failed\)/);
});

test('a keeper to which no agent has come has no gate', () => {
  assert.match(
    statusText({ pid: 7, speech, hasAgent: false, unconfirmed: 0 }),
    /not open: no agent has come yet/,
  );
});

test('says that the agent hangs, and that the keeper is of a version that does not go with this one', () => {
  const silent = statusText(statusOf({ ...told, silentMs: 12_345 }));
  assert.match(silent, /^keeper {3}process 7, THE AGENT has been SILENT for 12 s\n/);
  assert.doesNotMatch(silent, /^version/m);
  const { speech: _, ...older } = told;
  for (const [keeper, said] of [
    [older, 'an older version'],
    [{ ...told, speech: '7.7' }, '7.7'],
  ] as const) {
    assert.match(
      statusText(statusOf(keeper)),
      new RegExp(
        `^version {2}THE KEEPER speaks ${said}, agents of this version ${speech}: replace the older`,
        'm',
      ),
    );
  }
});
