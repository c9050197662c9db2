import assert from 'node:assert/strict';
import { test } from 'node:test';
import { flatten } from '../../src/node/flatten.ts';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import type { BoundPolicy, Policy, Workload } from '../../src/policy/types.ts';

const bound = (selector: object, response: object, workload: Partial<Workload> = {}): BoundPolicy => {
  const selectors = [{ name: 's', operation: ['exec'], ...selector }];
  const responses = [{ match: ['s'], exclude: [], actions: ['alert', 'block'], ...response }];
  const policy = { process: { selectors, responses } } as unknown as Policy;
  return bind(compile('p', policy), workload as Workload);
};

const text = (value: string): number[] => [value.length, 0, ...Buffer.from(value)];
const header = [...Buffer.from('D4CT'), 2, 0, 1, 1, 0];
const noFiles = [0, 0];
const [asMatch, asExclude, hasPaths, hasNames, onlyInteractive] = [1, 2, 4, 8, 128];
const exec = 64;
const response = [...[1, 0, 0, 0, 0, 0, 0, 0], ...[0, 0, 0, 0, 0, 0, 0, 0], 2 | 4];

test('no policy is a table without policies', () => {
  assert.deepEqual([...flatten([], 'allow')], [...Buffer.from('D4CT'), 2, 0, 1, 0, 0]);
});

test('the mode is in the header', () => {
  const bytes = [...Buffer.from('D4CT'), 2, 0, 0, 0, 0];
  assert.deepEqual([...flatten([], 'allow', 'observe')], bytes);
});

test('a policy becomes the bytes that the format says', () => {
  const policy = bound({ processExecutable: ['/usr/*.so/**'], processName: ['sh'] }, {});
  const flags = asMatch | asExclude | hasPaths | hasNames;
  const pattern = [3, 0, 0, 0, ...[1, 0, 0, 0, ...text('usr')]]
    .concat([2, 0, 0, 0, ...text(''), ...text('.so')])
    .concat([0, 0, 0, 0]);
  const selector = [flags, exec, 1, 0, 0, 0, ...pattern, 1, 0, 0, 0, ...text('sh')];
  assert.deepEqual([...flatten([policy], 'allow')], [header, noFiles, 1, 1, selector, response].flat());
});

test('a selector that asks for a terminal says so', () => {
  const policy = bound({ sessionLeaderInteractive: true }, {});
  const selector = [asMatch | asExclude | onlyInteractive, exec];
  assert.deepEqual([...flatten([policy], 'allow')], [header, noFiles, 1, 1, selector, response].flat());
});

for (const [onUnknown, role] of [
  ['allow', asExclude],
  ['deny', asMatch],
] as const) {
  test(`with \`onUnknown\` ${onUnknown} an unknown workload counts ${role === asMatch ? 'for' : 'against'} a response only`, () => {
    const policy = bound({ kubernetesNamespace: ['a'] }, {}, { namespace: undefined });
    const expected = [header, noFiles, 1, 1, role, exec, response].flat();
    assert.deepEqual([...flatten([policy], onUnknown)], expected);
  });
}

test('a workload that does not match leaves a selector that does nothing', () => {
  const policy = bound({ kubernetesNamespace: ['a'] }, {}, { namespace: 'b' });
  assert.deepEqual([...flatten([policy], 'deny')], [header, noFiles, 1, 1, 0, exec, response].flat());
});
