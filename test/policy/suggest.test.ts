import assert from 'node:assert/strict';
import { test } from 'node:test';
import { suggest } from '../../src/policy/suggest.ts';

const keys = [
  'selectors',
  'responses',
  'operation',
  'targetFilePath',
  'processName',
  'match',
  'log',
  'alert',
];

test('suggests the nearest of the candidates', () => {
  const table: [word: string, meant: string | undefined, because: string][] = [
    ['targetFilePaths', 'targetFilePath', 'one letter too many'],
    ['targetfilepath', 'targetFilePath', 'case'],
    ['opertaion', 'operation', 'two letters swapped'],
    ['selector', 'selectors', 'one too few'],
    ['response', 'responses', 'one too few'],
    ['mach', 'match', 'one missing'],
    ['lgo', 'log', 'short words may differ by one'],
    ['xyz', undefined, 'and by no more'],
    ['ab', undefined, 'two letters say too little'],
    ['LOG', 'log', 'but case may always differ'],
    ['processKind', undefined, 'four letters differ'],
    ['', undefined, 'nothing is like nothing'],
    ['match', undefined, 'the word itself is no suggestion'],
  ];
  for (const [word, meant, because] of table) assert.equal(suggest(word, keys), meant, because);
});

test('of two that are equally near, the first is suggested', () => {
  assert.equal(suggest('abx', ['abc', 'abd']), 'abc');
});

test('long words and long lists cost nothing', () => {
  assert.equal(suggest('a'.repeat(49), ['a'.repeat(48)]), undefined);
  const many = Array.from({ length: 100_000 }, (_, index) => `candidate${index}`);
  assert.equal(suggest('candidate99999', many), 'candidate99');
});
