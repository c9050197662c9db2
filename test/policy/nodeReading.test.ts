import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPolicy } from '../../src/policy/read.ts';
import type { Fault } from '../../src/policy/types.ts';

/** The only fault of a file policy whose selector has this besides its name and operation. */
function faultOf(condition: string, actions = '[alert]'): Fault | undefined {
  const { faults } = readPolicy(
    `file: {selectors: [{name: a, operation: [createExecutable], ${condition}}], responses: [{match: [a], actions: ${actions}}]}`,
  );
  assert.ok(faults.length <= 1, JSON.stringify(faults));
  return faults[0];
}

test('wrong types are named, with what to write instead', () => {
  const table: [condition: string, message: string, suggestion: string | undefined][] = [
    [
      'containerImageTag: latest',
      '`containerImageTag` is text; it must be a list, for example `[latest]`',
      '[latest]',
    ],
    [
      'containerImageTag: 1.10',
      '`containerImageTag` is a number; it must be a list, for example `[1.10]`',
      '[1.10]',
    ],
    ['containerImageTag: "a, b"', '`containerImageTag` is text; it must be a list', undefined],
    ['containerImageTag: {}', '`containerImageTag` is a mapping; it must be a list', undefined],
    [
      'containerImageTag: [1.10]',
      'a value of `containerImageTag` `1.10` is a number; to make it text, quote it: `"1.10"`',
      '"1.10"',
    ],
    [
      'containerImageTag: [true]',
      'a value of `containerImageTag` `true` is a truth value; to make it text, quote it: `"true"`',
      '"true"',
    ],
    [
      'containerImageTag: [null]',
      'a value of `containerImageTag` `null` is null; to make it text, quote it: `"null"`',
      '"null"',
    ],
    ['containerImageTag: [[a]]', 'a value of `containerImageTag` is a list; it must be text', undefined],
    [
      'ignoreVolumeFiles: "true"',
      '`ignoreVolumeFiles` is text; it must be `true` or `false`, without quotes',
      'true',
    ],
    ['ignoreVolumeFiles: 1', '`ignoreVolumeFiles` is a number; it must be `true` or `false`', undefined],
  ];
  for (const [condition, message, suggestion] of table) {
    const fault = faultOf(condition);
    assert.equal(fault?.code, 'POLICY_VALUE_TYPE', condition);
    assert.equal(fault?.message, message);
    assert.equal(fault?.suggestion, suggestion);
  }
});

test('a suggestion for actions keeps what is there', () => {
  assert.equal(faultOf('', '[block]')?.suggestion, '[alert, block]');
  assert.equal(faultOf('', '[block, log]')?.suggestion, '[log, alert, block]');
});

test('long texts are not repeated in full', () => {
  for (const condition of [
    `containerImageTag: [${'1'.repeat(5_000)}]`,
    `containerImageTag: ${'a'.repeat(5_000)}`,
  ]) {
    assert.ok(JSON.stringify(faultOf(condition)).length < 500);
  }
});
