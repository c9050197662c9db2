import assert from 'node:assert/strict';
import { test } from 'node:test';
import { and, not, or, truthOf } from '../../src/policy/truth.ts';
import type { Truth } from '../../src/policy/types.ts';

/** What an unknown may turn out to be. */
const possible = (truth: Truth): boolean[] => (truth === 'unknown' ? [true, false] : [truth === 'yes']);
const all: Truth[] = ['yes', 'no', 'unknown'];

/** `yes` or `no` when every possibility agrees. */
function summary(outcomes: boolean[]): Truth {
  if (outcomes.every(Boolean)) return 'yes';
  return outcomes.some(Boolean) ? 'unknown' : 'no';
}

test('and, or and not say what every possibility of the unknown says', () => {
  for (const left of all) {
    assert.equal(not(left), summary(possible(left).map((value) => !value)));
    for (const right of all) {
      const pairs = possible(left).flatMap((a) => possible(right).map((b) => [a, b] as const));
      assert.equal(and(left, right), summary(pairs.map(([a, b]) => a && b)), `${left} and ${right}`);
      assert.equal(or(left, right), summary(pairs.map(([a, b]) => a || b)), `${left} or ${right}`);
    }
  }
});

test('what is known is yes or no', () => {
  assert.equal(truthOf(true), 'yes');
  assert.equal(truthOf(false), 'no');
});
