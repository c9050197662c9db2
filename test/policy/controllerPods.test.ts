import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { podNameOfController } from '../../src/policy/controllerPods.ts';
import { parseNamePattern, podNameHolds, suffixAlphabet } from '../../src/policy/podName.ts';
import { suffixes } from '../support/policies.ts';

/** Kind, pattern, whether it holds for the pods of `web`, because. */
const table: [kind: string, pattern: string, truth: string, because: string][] = [
  ['Deployment', 'web-*', 'yes', 'every name begins so'],
  ['Deployment', 'web', 'no', 'something always follows'],
  ['Deployment', 'web-', 'no', 'something always follows'],
  ['Deployment', 'web-b*', 'unknown', 'the hash may begin with b'],
  ['Deployment', 'web-0*', 'no', 'neither hash nor suffix has a 0'],
  ['Deployment', 'web-5d4f-*', 'unknown', 'the hash may be this'],
  ['Deployment', 'job*', 'no', 'neither is a prefix of the other'],
  ['StatefulSet', 'web-0', 'unknown', 'one of them has this name'],
  ['StatefulSet', 'web-x*', 'no', 'an ordinal is a number'],
  ['StatefulSet', 'web*', 'yes', 'every name begins so'],
  ['DaemonSet', 'web-b*', 'unknown', 'the suffix may begin with b'],
  ['DaemonSet', 'web-bcdfgh*', 'no', 'the rest is longer than a suffix'],
  ['ReplicaSet', 'web-a*', 'no', 'a suffix has no vowels'],
  ['Job', 'web-*', 'yes', 'every name begins so'],
  ['CronJob', 'web-2*', 'unknown', 'the minute may begin with 2'],
  ['CronJob', 'web-29*-b', 'no', 'a star in the middle is literal'],
  ['Custom', 'web-*', 'unknown', 'nobody knows how it names its pods'],
];

for (const [kind, pattern, truth, because] of table) {
  test(`\`${pattern}\` on the pods of a ${kind} \`web\` is ${truth}: ${because}`, () => {
    assert.equal(podNameHolds([parseNamePattern(pattern)], podNameOfController(kind, 'web')), truth);
  });
}

test('the pods of an indexed Job carry their index', () => {
  const holds = (pattern: string) =>
    podNameHolds([parseNamePattern(pattern)], podNameOfController('Job', 'web', true));
  assert.equal(holds('web-0-*'), 'unknown');
  assert.equal(holds('web-a*'), 'no');
});

const names = fc
  .array(fc.constantFrom('a', 'b', '-', '0', 'x'), { minLength: 1, maxLength: 63 })
  .map((characters) => `n${characters.join('')}`);
const hashes = fc
  .array(fc.constantFrom(...suffixAlphabet), { minLength: 1, maxLength: 10 })
  .map((characters) => characters.join(''));

/** The names as the controllers make them: `generateName`, cut to 58 characters, and five more. */
const made: Record<string, (name: string, hash: string, number: number, suffix: string) => string> = {
  Deployment: (name, hash, _number, suffix) => `${name}-${hash}-`.slice(0, 58) + suffix,
  DaemonSet: (name, _hash, _number, suffix) => `${name}-`.slice(0, 58) + suffix,
  StatefulSet: (name, _hash, number) => `${name}-${number}`,
  CronJob: (name, _hash, number, suffix) => `${name}-${number}-`.slice(0, 58) + suffix,
  'Job indexed': (name, _hash, number, suffix) => {
    const index = `-${number}-`;
    return `${name.slice(0, 58 - index.length)}${index}${suffix}`;
  },
};

test('what is said of the pods before they are made holds for every name that they may get', () => {
  const kinds = fc.constantFrom(...Object.keys(made));
  const numbers = fc.integer({ min: 0, max: 99_999_999 });
  const ends = fc.tuple(fc.nat({ max: 70 }), fc.boolean());
  fc.assert(
    fc.property(kinds, names, hashes, numbers, suffixes, ends, (kind, name, hash, number, suffix, ending) => {
      const [length, isPrefix] = ending;
      const podName = made[kind]?.(name, hash, number, suffix) ?? '';
      const text = `${podName.slice(0, length)}${isPrefix ? '*' : ''}`;
      const pattern = parseNamePattern(text);
      const [controller = '', indexed] = kind.split(' ');
      const said = podNameHolds([pattern], podNameOfController(controller, name, indexed !== undefined));
      const truth = podNameHolds([pattern], { name: podName });
      assert.ok(said === 'unknown' || said === truth, `${text} on ${podName}: ${said}, but ${truth}`);
    }),
    { numRuns: 2_000 },
  );
});
