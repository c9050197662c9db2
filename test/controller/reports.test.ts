import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportOf } from '../../src/controller/reports.ts';
import { compile } from '../../src/policy/compile.ts';
import { readPolicy } from '../../src/policy/read.ts';

function policy(id: string, operation: string) {
  const text = JSON.stringify({
    process: {
      selectors: [{ name: 's', operation: [operation] }],
      responses: [{ match: ['s'], actions: ['alert', 'block'] }],
    },
  });
  const { policy: read } = readPolicy(text);
  assert.ok(read !== undefined);
  return compile(id, read);
}

test('a policy passes when all that it blocks is prevented, warns when not, and is skipped while undecided', () => {
  const policies = new Map(
    [policy('a', 'exec'), policy('b', 'fork'), policy('c', 'exec')].map((one) => [one.id, one]),
  );
  const counts = [
    { id: 'a', count: { bound: 2, undecided: 0 } },
    { id: 'b', count: { bound: 1, undecided: 1 } },
    { id: 'c', count: { bound: 0, undecided: 4 } },
    { id: 'gone', count: { bound: 1, undecided: 0 } },
  ];
  const report = reportOf('n', counts, (id) => policies.get(id));
  assert.deepEqual(
    report.results?.map((result) => [result.policy, result.result, result.properties]),
    [
      ['a', 'pass', { pods: '2', undecidedPods: '0' }],
      ['b', 'warn', { pods: '1', undecidedPods: '1' }],
      ['c', 'skip', { pods: '0', undecidedPods: '4' }],
    ],
  );
  assert.deepEqual(report.summary, { pass: 1, fail: 0, warn: 1, error: 0, skip: 1 });
});

test('a report has a thousand results at most, the last of which says how many are left out', () => {
  const one = policy('p', 'exec');
  const counts = Array.from({ length: 5_000 }, (_, index) => ({
    id: `p-${index}`,
    count: { bound: 1, undecided: 0 },
  }));
  const { results = [] } = reportOf('n', counts, () => one);
  assert.equal(results.length, 1_000);
  assert.match(results.at(-1)?.message ?? '', /^4001 more policies apply/);
  assert.equal(reportOf('n', counts.slice(0, 1_000), () => one).results?.at(-1)?.policy, 'p-999');
});
