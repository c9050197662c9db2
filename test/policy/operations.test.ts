import assert from 'node:assert/strict';
import { test } from 'node:test';
import { impliedOperations } from '../../src/policy/operations.ts';
import { fileOperations } from '../../src/policy/types.ts';

test('an operation on an executable is also the one on a file', () => {
  assert.deepEqual(impliedOperations(['createExecutable']), new Set(['createExecutable', 'createFile']));
  assert.deepEqual(impliedOperations(['modifyExecutable']), new Set(['modifyExecutable', 'modifyFile']));
});

test('the other operations are only themselves', () => {
  for (const operation of ['createFile', 'modifyFile', 'deleteFile'] as const) {
    assert.deepEqual(impliedOperations([operation]), new Set([operation]));
  }
  assert.deepEqual(impliedOperations(fileOperations), new Set(fileOperations));
});
