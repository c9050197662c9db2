import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPolicy } from '../../src/policy/read.ts';
import { root } from '../house/sources.ts';

interface Case {
  readonly id: string;
  readonly description: string;
  readonly policy: string;
  readonly editorAccepts: boolean;
  readonly lenientAccepts: boolean;
}

const { cases }: { cases: Case[] } = JSON.parse(
  readFileSync(join(root, 'test/fixtures/vectors/policy-validation.json'), 'utf8'),
);

const codesOf = (policy: string, mode: 'strict' | 'lenient', severity: string): string[] =>
  readPolicy(policy, { mode })
    .faults.filter((fault) => fault.severity === severity)
    .map(({ code }) => code);

/** What the guide asks for and the editor does not. */
const guideOnly = [
  'POLICY_UNKNOWN_KEY',
  'POLICY_SELECTOR_NAME',
  'POLICY_SELECTOR_DUPLICATE',
  'POLICY_OPERATION_MISSING',
  'POLICY_FIM_PATH_MISSING',
];

test('there are 71 vectors', () => assert.equal(cases.length, 71));

for (const { id, description, policy, editorAccepts, lenientAccepts } of cases) {
  test(`${id}: ${description}`, () => {
    const errors = codesOf(policy, 'lenient', 'error');
    assert.equal(errors.length === 0, lenientAccepts, `lenient: ${errors}`);
    const strict = codesOf(policy, 'strict', 'error');
    if (!lenientAccepts)
      assert.notEqual(strict.length, 0, 'strict mode forgives nothing that lenient mode does not');
    // What the editor accepts is refused for what the guide says beyond it, and for nothing else.
    if (editorAccepts)
      assert.deepEqual(
        strict.filter((code) => !guideOnly.includes(code)),
        [],
      );
    // What it refuses and lenient mode accepts is a choice of ours, or a matter of the guide, and never silent.
    if (lenientAccepts && !editorAccepts) assert.notEqual(codesOf(policy, 'lenient', 'warning').length, 0);
  });
}
