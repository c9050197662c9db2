import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelEvent, ProcessFacts } from '../../src/native/gate.ts';
import { unknownIdentity } from '../../src/node/identity.ts';
import { containerFactsOf, decisionsOf, observationOf } from '../../src/node/observations.ts';
import { namesOf } from '../../src/node/publication.ts';
import { bind } from '../../src/policy/bind.ts';
import { execPolicy, identityWith } from './identities.ts';

const process: ProcessFacts = {
  pid: 10,
  parentPid: 9,
  groupPid: 10,
  sessionPid: 9,
  startTicks: 500,
  name: 'x',
  executable: '/tmp/x',
  args: ['x', '-v'],
  argsTruncated: false,
  workingDirectory: '',
  uid: 1000,
  gid: 1000,
  euid: 0,
  egid: 1000,
  interactive: false,
};

const exec: KernelEvent = {
  key: 1,
  sequence: 5,
  timeUs: 1_790_000_000_000_001,
  generation: 1,
  kind: 'exec',
  operations: [],
  path: '/tmp/x',
  mount: 'root',
  verdict: 'deny',
  decidedBy: 'rule',
  outcome: 'prevented',
  rolledBack: undefined,
  policies: [{ policy: 0, actions: ['alert', 'block'], selectors: [0] }],
  cgroup: '/c1',
  threadId: 10,
  process,
  parent: { ...process, pid: 9, executable: '/bin/sh', startTicks: 400 },
  file: { mode: 0o100755, uid: 0, gid: 0, inode: 3 },
};

const identity = identityWith({});

test('an exec is a process observation without a file', () => {
  const observation = observationOf(exec, identity, 'enforce', 1e15);
  assert.equal(observation.section, 'process');
  assert.equal(observation.action, 'exec');
  assert.equal(observation.hookPoint, 'fanotify__open_exec_perm');
  assert.equal(observation.file, undefined);
});

test('what was only heard of says so, and by what', () => {
  const heard: KernelEvent = { ...exec, verdict: 'allow', outcome: 'detected', isHeard: true };
  const hookOf = (kind: KernelEvent['kind']) =>
    observationOf({ ...heard, kind }, identity, 'enforce', 1e15).hookPoint;
  assert.equal(hookOf('exec'), 'fanotify__open_exec');
  assert.equal(hookOf('modification'), 'fanotify__close_write');
  assert.equal(hookOf('rename'), 'fanotify__rename');
  assert.equal(observationOf(heard, identity, 'observe', 1e15).isUnenforceable, true);
});

test('an open is a creation or an opening for writing', () => {
  const actionOf = (...operations: KernelEvent['operations'][number][]) =>
    observationOf({ ...exec, kind: 'open', operations }, identity, 'enforce', 0).action;
  assert.equal(actionOf('createFile', 'createExecutable'), 'creation');
  assert.equal(actionOf('modifyFile'), 'open');
});

test('a change tells what was done, by what mechanism, and of a rename both names', () => {
  const told = (change: Partial<KernelEvent>) => {
    const { action, hookPoint, file } = observationOf({ ...exec, ...change }, identity, 'enforce', 0);
    return [action, hookPoint, file?.path, file?.oldPath];
  };
  const operations = ['createExecutable', 'createFile'] as const;
  assert.deepEqual(told({ kind: 'attributes', operations }), [
    'creation',
    'fanotify__attrib',
    '/tmp/x',
    undefined,
  ]);
  assert.deepEqual(told({ kind: 'link', operations })[0], 'link');
  assert.deepEqual(told({ kind: 'rename', operations, oldPath: '/a' }), [
    'rename',
    'fanotify__rename',
    '/tmp/x',
    '/a',
  ]);
});

test('an exec that rules about files refuse is a process observation by the rules of the section file', () => {
  const event = { ...exec, reason: 'drift', operations: ['createExecutable'] } as const;
  const { section, rules, reason, action, file } = observationOf(event, identity, 'enforce', 0);
  assert.deepEqual([section, rules, reason, action, file], ['process', 'file', 'drift', 'exec', undefined]);
  const policies = [namesOf(bind(execPolicy('p'), identity.workload))];
  assert.deepEqual(decisionsOf(event, policies), [
    { policyId: 'p', actions: ['alert', 'block'], matchedSelectors: [] },
  ]);
});

test('what was gone before it could be looked at is left out', () => {
  const gone = { ...process, executable: '', args: [], startTicks: 0 };
  const file = { mode: 0, uid: 0, gid: 0, inode: 0 };
  const event = { ...exec, kind: 'deletion', process: gone, file, parent: undefined } as const;
  const observation = observationOf(event, identity, 'enforce', 0);
  assert.deepEqual(observation.process, { pid: process.pid });
  assert.deepEqual(observation.file, { path: '/tmp/x', oldPath: undefined });
});

test('of a process that had ended what is known is told, and nothing that was not read', () => {
  const { uid, gid, euid, egid, interactive, ...rest } = process;
  const ended = { ...rest, args: [], startTicks: 0, parentPid: 0, groupPid: 0, sessionPid: 0 };
  const event = { ...exec, kind: 'deletion', process: ended, parent: undefined } as const;
  const told = observationOf(event, identity, 'enforce', 0).process;
  assert.deepEqual(JSON.parse(JSON.stringify(told)), { pid: 10, executable: '/tmp/x' });
});

test('times count from when the machine was started, and users are the effective ones', () => {
  const { process: fields } = observationOf(exec, identity, 'enforce', 1e15);
  assert.equal(fields.startUs, 1e15 + 5e6);
  assert.equal(fields.userId, 0);
  assert.equal(fields.workingDirectory, undefined);
});

test('leaders are the processes that are known anyway, else a number', () => {
  const observation = observationOf(exec, identity, 'enforce', 0);
  assert.equal(observation.groupLeader, observation.process);
  assert.equal(observation.sessionLeader, observation.parent);
  const orphan = { ...exec, parent: undefined, process: { ...process, sessionPid: 0, groupPid: 4 } };
  const { groupLeader, sessionLeader } = observationOf(orphan, identity, 'enforce', 0);
  assert.deepEqual([groupLeader, sessionLeader], [{ pid: 4 }, undefined]);
});

test('leaders that were read are told in full, and the entry leader with how somebody came in', () => {
  const leader = { ...process, pid: 4, executable: '/bin/init', startTicks: 300 };
  const event = {
    ...exec,
    process: { ...process, groupPid: 4 },
    groupLeader: leader,
    entryLeader: leader,
    entryType: 'container',
  };
  const { groupLeader, entryLeader } = observationOf(event, identity, 'enforce', 0);
  assert.deepEqual([groupLeader?.executable, groupLeader?.startUs], ['/bin/init', 3e6]);
  assert.deepEqual([entryLeader?.process.pid, entryLeader?.type], [4, 'container']);
  const own = observationOf({ ...event, entryLeader: process }, identity, 'enforce', 0).entryLeader;
  assert.deepEqual([own?.process.pid, own?.process.executable], [10, '/tmp/x']);
});

test('a fork is a process observation by the rules about processes', () => {
  const fork = { ...exec, kind: 'fork', verdict: 'allow', outcome: 'detected' } as const;
  const { section, rules, action, hookPoint, file } = observationOf(fork, identity, 'enforce', 0);
  assert.deepEqual(
    [section, rules, action, hookPoint, file],
    ['process', 'process', 'fork', 'proc_connector__fork', undefined],
  );
});

test('decisions name the policy and the selectors that the table only numbers', () => {
  const policies = [namesOf(bind(execPolicy('p'), identity.workload))];
  assert.deepEqual(decisionsOf(exec, policies), [
    { policyId: 'p', actions: ['alert', 'block'], matchedSelectors: ['dropped'] },
  ]);
  assert.deepEqual(decisionsOf(exec, []), []);
});

test('unknown facts of a container are left out', () => {
  const facts = containerFactsOf(unknownIdentity);
  assert.deepEqual(
    Object.values(facts).filter((value) => value !== undefined),
    [],
  );
});

test('a pod is told with what is known of it', () => {
  const pod = {
    name: 'p',
    namespace: 'n',
    uid: 'u',
    labels: undefined,
    annotations: undefined,
    ips: ['::1'],
  };
  const facts = containerFactsOf({ ...identity, pod });
  assert.deepEqual(facts.pod, {
    name: 'p',
    namespace: 'n',
    labels: new Map(),
    annotations: new Map(),
    ips: ['::1'],
    ownerKind: undefined,
  });
  assert.equal(facts.image?.fullName, 'registry.example/web');
});
