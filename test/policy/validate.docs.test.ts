import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultCodes } from '../../src/errors.ts';
import { selectorKeys } from '../../src/policy/conditions.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { actions, fileOperations, processOperations } from '../../src/policy/types.ts';
import { textOf } from '../house/sources.ts';

const page = textOf('docs/policy.md');
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, text]) => text ?? '');

test('docs/policy.md has examples', () => assert.ok(examples.length >= 6));

for (const [index, text] of examples.entries()) {
  test(`example ${index + 1} of docs/policy.md is a policy, with no warning but POLICY_EXTENSION`, () => {
    const { policy, faults } = readPolicy(text);
    assert.notEqual(policy, undefined, JSON.stringify(faults));
    assert.deepEqual(
      faults.filter(({ code }) => code !== 'POLICY_EXTENSION'),
      [],
    );
  });
}

test('docs/policy.md speaks of every condition, operation and action', () => {
  const words = [
    ...selectorKeys('file'),
    ...selectorKeys('process'),
    ...fileOperations,
    ...processOperations,
    ...actions,
  ];
  assert.deepEqual(
    words.filter((word) => word !== 'name' && !page.includes(`\`${word}\``)),
    [],
  );
});

test('docs/policy.md lists what lenient mode turns into warnings', () => {
  const forgiven = Object.entries(faultCodes).filter(([, { strict, lenient }]) => strict !== lenient);
  const table = page.slice(page.indexOf('## Strict and lenient'));
  const listed = [...table.matchAll(/^\| (POLICY_\w+)/gm)].map(([, code]) => code);
  assert.deepEqual(
    listed,
    forgiven.map(([code]) => code),
  );
});
