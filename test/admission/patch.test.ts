import assert from 'node:assert/strict';
import { test } from 'node:test';
import { patchAnnotations } from '../../src/admission/patch.ts';
import { policiesKey, undecidedKey } from '../../src/kubernetes/names.ts';

const give = (policies: string, undecided?: string) => ({
  [policiesKey]: policies,
  [undecidedKey]: undecided,
});
const policiesPath = '/metadata/annotations/d4c-gate.io~1policies';
const undecidedPath = '/metadata/annotations/d4c-gate.io~1policies-undecided';

const cases: [
  because: string,
  current: Record<string, unknown> | undefined,
  wanted: ReturnType<typeof give>,
  patch: object[],
][] = [
  [
    'annotations are made when absent',
    undefined,
    give('a'),
    [{ op: 'add', path: '/metadata/annotations', value: { [policiesKey]: 'a' } }],
  ],
  [
    'both are made when absent',
    undefined,
    give('a', 'b'),
    [{ op: 'add', path: '/metadata/annotations', value: { [policiesKey]: 'a', [undecidedKey]: 'b' } }],
  ],
  ['annotations that exist stay', { x: 'y' }, give(''), [{ op: 'add', path: policiesPath, value: '' }]],
  [
    'an empty object exists',
    {},
    give('a', 'b'),
    [
      { op: 'add', path: policiesPath, value: 'a' },
      { op: 'add', path: undecidedPath, value: 'b' },
    ],
  ],
  ['what is right is left alone', { [policiesKey]: 'a' }, give('a'), []],
  ['both right', { [policiesKey]: 'a', [undecidedKey]: 'b' }, give('a', 'b'), []],
  [
    'what is forged is replaced',
    { [policiesKey]: 'forged' },
    give('a'),
    [{ op: 'replace', path: policiesPath, value: 'a' }],
  ],
  [
    'what is no text is replaced',
    { [policiesKey]: null },
    give(''),
    [{ op: 'replace', path: policiesPath, value: '' }],
  ],
  [
    'what is decided is removed',
    { [policiesKey]: 'a', [undecidedKey]: 'b' },
    give('a'),
    [{ op: 'remove', path: undecidedPath }],
  ],
];

for (const [because, current, wanted, patch] of cases) {
  test(`the patch from ${JSON.stringify(current)} to ${JSON.stringify(wanted)}: ${because}`, () => {
    assert.deepEqual(JSON.parse(JSON.stringify(patchAnnotations(current, wanted))), patch);
  });
}
