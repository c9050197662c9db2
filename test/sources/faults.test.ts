import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatFault, idFaults, unreadFault } from '../../src/sources/faults.ts';

const fileWith = (id: string, extension = 'yaml') => ({ file: `${id}.${extension}`, id, text: '' });

test('two files with one ID are a fault of the second, which names the first', () => {
  const [fault, ...more] = idFaults([fileWith('a'), fileWith('a', 'yml'), fileWith('b')]);
  assert.deepEqual(more, []);
  assert.ok(fault);
  assert.equal(
    formatFault(fault),
    'a.yml:1:1: error: the policy ID `a` is already taken by `a.yaml`; rename one of the two files (POLICY_ID_DUPLICATE)',
  );
});

const ids: [id: string, isGood: boolean][] = [
  ['a', true],
  ['drift-prevention', true],
  ['Team_B.v1', true],
  ['x'.repeat(253), true],
  ['x'.repeat(254), false],
  ['a,b', false],
  ['a b', false],
  ['-a', false],
  ['a-', false],
  ['ä', false],
  ['a\nb', false],
  ['', false],
];

for (const [id, isGood] of ids) {
  test(`${JSON.stringify(id.slice(0, 20))} of ${id.length} characters is ${isGood ? 'an' : 'no'} ID`, () => {
    assert.deepEqual(
      idFaults([fileWith(id)]).map(({ fault }) => fault.code),
      isGood ? [] : ['POLICY_ID_FORM'],
    );
  });
}

test('a file that is not read is a fault that says why', () => {
  assert.equal(
    formatFault(unreadFault('a.yaml', 'it is not UTF-8')),
    'a.yaml:1:1: error: the file is not read: it is not UTF-8 (POLICY_SYNTAX)',
  );
});
