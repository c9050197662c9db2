import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labelsHold, parseLabelPattern } from '../../src/policy/labels.ts';
import { assertLinear } from '../support/growth.ts';

const labels = new Map([
  ['app', 'web'],
  ['empty', ''],
  ['star', 'w*'],
  ['example.com/part_of', 'shop'],
]);

/** Pattern, whether the labels above fit, because. */
const table: [pattern: string, fits: boolean, because: string][] = [
  ['app:web', true, 'key and value are exact'],
  ['app:we', false, 'without a star the value is whole'],
  ['app:Web', false, 'case counts'],
  ['ap:web', false, 'the key is exact'],
  ['app:w*', true, 'a star at the end makes a prefix'],
  ['app:web*', true, 'a prefix may be the whole'],
  ['app:webs*', false, 'a prefix is no longer than the value'],
  ['app:*', true, 'any value'],
  ['empty:*', true, 'any value, also the empty one'],
  ['missing:*', false, 'any value, but a value'],
  ['empty:', true, 'the empty value'],
  ['app:', false, 'the empty value only'],
  ['missing:', false, 'a label that is absent has no value'],
  ['star:w**', true, 'only the last star is a wildcard'],
  ['app:*eb', false, 'a star elsewhere is literal'],
  ['example.com/part_of:shop', true, 'a key may have a prefix'],
  ['__proto__:*', false, 'a key is never looked up on an object'],
];

for (const [pattern, fits, because] of table) {
  test(`\`${pattern}\` ${fits ? 'fits' : 'does not fit'}: ${because}`, () => {
    assert.equal(labelsHold([parseLabelPattern(pattern)], labels), fits ? 'yes' : 'no');
  });
}

test('splits at the first colon', () => {
  assert.deepEqual(parseLabelPattern('a:b:c*'), { key: 'a', value: 'b:c', prefix: true });
});

test('any of the patterns will do', () => {
  assert.equal(labelsHold([parseLabelPattern('app:db'), parseLabelPattern('empty:')], labels), 'yes');
});

test('unknown labels leave every pattern unknown, and what is no pod has none', () => {
  assert.equal(labelsHold([parseLabelPattern('app:*')], undefined), 'unknown');
  assert.equal(labelsHold([parseLabelPattern('app:*')], null), 'no');
});

test('a label whose value is not known leaves patterns of its key unknown, and no others', () => {
  const later = new Map<string, string | undefined>([...labels, ['hash', undefined]]);
  const holds = (...patterns: string[]) => labelsHold(patterns.map(parseLabelPattern), later);
  assert.equal(holds('hash:*'), 'unknown');
  assert.equal(holds('hash:4f'), 'unknown');
  assert.equal(holds('app:db', 'hash:4f'), 'unknown');
  assert.equal(holds('hash:4f', 'app:web'), 'yes');
  assert.equal(holds('app:db'), 'no');
});

test('takes time linear in the value', () => {
  assertLinear('label value', (bytes) => {
    const patterns = ['k:a*', `k:${'a'.repeat(250)}b*`, `k:${'a'.repeat(bytes)}b`].map(parseLabelPattern);
    const long = new Map([['k', 'a'.repeat(bytes)]]);
    return () => labelsHold(patterns, long);
  });
});
