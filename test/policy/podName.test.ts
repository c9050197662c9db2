import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseNamePattern, podNameHolds, suffixAlphabet } from '../../src/policy/podName.ts';
import { assertLinear } from '../support/growth.ts';
import { suffixes } from '../support/policies.ts';

const holds = (pattern: string, generateName: string) =>
  podNameHolds([parseNamePattern(pattern)], { generateName });
const fits = (pattern: string, name: string) => podNameHolds([parseNamePattern(pattern)], { name });

/** Pattern, generateName, whether it holds, because. */
const table: [pattern: string, generateName: string, truth: string, because: string][] = [
  ['web-*', 'web-', 'yes', 'every name begins with the base'],
  ['*', 'web-', 'yes', 'any name'],
  ['web*', 'web-5d9c-', 'yes', 'the base begins with the prefix'],
  ['job*', 'web-', 'no', 'neither is a prefix of the other'],
  ['web-b*', 'web-', 'unknown', 'the suffix may begin with b'],
  ['web-bcdfg*', 'web-', 'unknown', 'the suffix may be the rest'],
  ['web-bcdfgh*', 'web-', 'no', 'the rest is longer than a suffix'],
  ['web-a*', 'web-', 'no', 'a suffix has no vowels'],
  ['web-0*', 'web-', 'no', 'a suffix has no 0'],
  ['web-bcdfg', 'web-', 'unknown', 'the suffix may be just this'],
  ['web-bcdf', 'web-', 'no', 'a whole name has all five characters'],
  ['web-', 'web-', 'no', 'a whole name has a suffix'],
  ['web-*x', 'web-', 'no', 'a star in the middle is literal'],
];

for (const [pattern, generateName, truth, because] of table) {
  test(`\`${pattern}\` on \`${generateName}\` is ${truth}: ${because}`, () => {
    assert.equal(holds(pattern, generateName), truth);
  });
}

test('only the first 58 characters of generateName are kept', () => {
  const long = 'a'.repeat(60);
  assert.equal(holds(`${'a'.repeat(59)}*`, long), 'no');
  assert.equal(holds(`${'a'.repeat(58)}b*`, long), 'unknown');
  assert.equal(holds(`${'a'.repeat(58)}*`, long), 'yes');
});

test('names that are known are exact, or a prefix', () => {
  assert.equal(fits('web-0', 'web-0'), 'yes');
  assert.equal(fits('web', 'web-0'), 'no');
  assert.equal(fits('web*', 'web'), 'yes');
  assert.equal(fits('w*b', 'web'), 'no');
  assert.equal(fits('w*b', 'w*b'), 'yes');
});

test('one yes among the patterns is enough, and one unknown outweighs no', () => {
  const of = (...patterns: string[]) =>
    podNameHolds(patterns.map(parseNamePattern), { generateName: 'web-' });
  assert.equal(of('job*', 'web-b*', 'web*'), 'yes');
  assert.equal(of('job*', 'web-b*'), 'unknown');
});

test('nothing known is unknown, and what is no pod has no name', () => {
  assert.equal(podNameHolds([parseNamePattern('*')], undefined), 'unknown');
  assert.equal(podNameHolds([parseNamePattern('*')], null), 'no');
});

/**
 * Suffixes that decide: one that continues the pattern's rest, where a suffix can, and others. A pattern's rest
 * is fixed from its first character on, so these stand for all 27 ** 5.
 */
function decidingSuffixes(rest: string): string[] {
  const filled = `${rest}bbbbb`.slice(0, 5);
  const possible = [...filled].every((character) => suffixAlphabet.includes(character));
  const others = [...suffixAlphabet].map((character) => character.repeat(5));
  return possible ? [filled, ...others] : others;
}

test('agrees with enumeration of suffixes on 10,000 pairs: yes is all, no is none, unknown is neither', () => {
  const base = fc.constantFrom(
    'web-',
    'web-b',
    'w',
    'job-',
    'bcd',
    'a'.repeat(57),
    'a'.repeat(58),
    `${'a'.repeat(58)}bc`,
  );
  const rest = fc.oneof(
    fc.constantFrom('', '*', '*', '*', 'b*', 'a*', 'x', '0', '-'),
    suffixes,
    suffixes.map((text) => `${text}*`),
    suffixes.map((text) => `${text.slice(2)}*`),
  );
  const cut = fc.nat({ max: 3 });
  const seen = { yes: 0, no: 0, unknown: 0 };
  fc.assert(
    fc.property(base, base, fc.boolean(), rest, cut, (generateName, other, same, tail, shorten) => {
      const start = (same ? generateName : other).slice(0, 58);
      const pattern = `${start.slice(0, start.length - shorten)}${tail}`;
      const kept = generateName.slice(0, 58);
      const bare = pattern.endsWith('*') ? pattern.slice(0, -1) : pattern;
      const names = decidingSuffixes(bare.slice(kept.length)).map((suffix) => kept + suffix);
      const fitting = names.filter((name) => fits(pattern, name) === 'yes').length;
      const expected = fitting === names.length ? 'yes' : fitting === 0 ? 'no' : 'unknown';
      assert.equal(holds(pattern, generateName), expected);
      seen[expected] += 1;
    }),
    { numRuns: 10_000 },
  );
  for (const [truth, count] of Object.entries(seen))
    assert.ok(count > 500, `${truth} came up ${count} times only`);
});

test('takes time linear in the name', () => {
  assertLinear('pod name', (bytes) => {
    const patterns = ['a*', `${'a'.repeat(bytes)}b*`, 'b'].map(parseNamePattern);
    const name = 'a'.repeat(bytes);
    return () => [podNameHolds(patterns, { name }), podNameHolds(patterns, { generateName: name })];
  });
});
