import assert from 'node:assert/strict';
import { test } from 'node:test';
import { policyStatus } from '../../src/controller/policyStatus.ts';
import type { ClusterPolicy } from '../../src/kubernetes/policies.ts';
import { readPolicy } from '../../src/policy/read.ts';

const now = '2026-01-02T00:00:00Z';
const pods = { bound: 3, undecided: 1 };

function clusterPolicy(operation: string[], actions = ['alert', 'block'], generation = 2): ClusterPolicy {
  const section = operation.includes('exec') || operation.includes('fork') ? 'process' : 'file';
  const selector = { name: 's', operation, ...(section === 'file' && { targetFilePath: ['/etc/x'] }) };
  const text = JSON.stringify({
    [section]: { selectors: [selector], responses: [{ match: ['s'], actions }] },
  });
  const { policy, faults } = readPolicy(text);
  return { id: 'p', uid: 'u', generation, faults, ...(policy && { good: { policy, generation } }) };
}

const condition = (status: ReturnType<typeof policyStatus>, type: string) => {
  const found = status.conditions?.find((one) => one.type === type);
  assert.ok(found !== undefined);
  return found;
};
const statusOf = (policy: ClusterPolicy, isTaken = false) =>
  policyStatus(policy, isTaken, pods, undefined, now);

test('what can be prevented is said in words, for each operation that a policy blocks', () => {
  for (const [operation, actions, status, reason, message] of [
    [['exec'], ['alert', 'block'], 'True', 'Prevented', /^fanotify prevents `exec`$/],
    [
      ['fork', 'exec'],
      ['alert', 'block'],
      'False',
      'PartlyPrevented',
      /prevents `exec`; it cannot deny `fork`, .* that takes BPF LSM$/,
    ],
    [['deleteFile'], ['alert', 'block'], 'False', 'NotPrevented', /^fanotify cannot deny `deleteFile`/],
    [['deleteFile'], ['alert'], 'True', 'NothingBlocked', /^no response blocks$/],
  ] as const) {
    const found = condition(statusOf(clusterPolicy([...operation], [...actions])), 'Enforceable');
    assert.equal(found.status, status, reason);
    assert.equal(found.reason, reason);
    assert.match(found.message, message);
  }
});

test('a policy that is in use is accepted, with its warnings', () => {
  const fine = condition(statusOf(clusterPolicy(['exec'])), 'Accepted');
  assert.deepEqual([fine.status, fine.reason], ['True', 'Valid']);
  const warned = condition(statusOf(clusterPolicy(['fork'])), 'Accepted');
  assert.deepEqual([warned.status, warned.reason], ['True', 'Warnings']);
  assert.match(warned.message, /^in use: spec\.process\.responses\[0\]\.actions: .*\(POLICY_NOT_BLOCKABLE\)/);
});

test('a bad edit is not accepted, and the status says what stays in use', () => {
  const good = clusterPolicy(['exec'], undefined, 1);
  const bad = clusterPolicy(['execute'], undefined, 2);
  const edited = statusOf({ ...bad, ...(good.good && { good: good.good }) });
  assert.equal(condition(edited, 'Accepted').reason, 'Faults');
  assert.match(condition(edited, 'Accepted').message, /^generation 1 stays in use: spec\./);
  assert.equal(condition(edited, 'Enforceable').status, 'Unknown');
  assert.match(condition(statusOf(bad), 'Accepted').message, /^not in use: /);
  const many = {
    ...bad,
    faults: Array.from({ length: 500 }, () => bad.faults[0]).flatMap((fault) => fault ?? []),
  };
  assert.match(condition(statusOf(many), 'Accepted').message, /; and 480 more$/);
});

test('an ID that a file has is a fault of the object', () => {
  const status = statusOf(clusterPolicy(['exec']), true);
  const taken = condition(status, 'Accepted');
  assert.deepEqual([taken.status, taken.reason], ['False', 'IdTaken']);
  assert.match(taken.message, /\(POLICY_ID_DUPLICATE\)$/);
  // What is counted under this ID are the pods of the file's policy.
  assert.deepEqual([status.boundPods, status.undecidedPods], [0, 0]);
});

test('counts and generation are in the status, and a condition keeps the time since when it holds', () => {
  const before = statusOf(clusterPolicy(['exec']));
  assert.deepEqual([before.observedGeneration, before.boundPods, before.undecidedPods], [2, 3, 1]);
  const after = policyStatus(
    clusterPolicy(['fork'], undefined, 3),
    false,
    pods,
    before,
    '2026-01-03T00:00:00Z',
  );
  assert.equal(condition(after, 'Accepted').lastTransitionTime, now);
  assert.equal(condition(after, 'Enforceable').lastTransitionTime, '2026-01-03T00:00:00Z');
  assert.equal(condition(after, 'Accepted').observedGeneration, 3);
});
