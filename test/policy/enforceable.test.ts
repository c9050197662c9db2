import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fanotify } from '../../src/policy/blockRules.ts';
import { compile } from '../../src/policy/compile.ts';
import { enforceability } from '../../src/policy/enforceable.ts';
import { readPolicy } from '../../src/policy/read.ts';

function of(text: string, mode: 'strict' | 'lenient' = 'strict') {
  const { policy, faults } = readPolicy(text, { mode });
  assert.ok(policy !== undefined, JSON.stringify(faults));
  return enforceability(compile('p', policy), fanotify);
}

test('only operations of responses that block count, each once, in the order of the language', () => {
  const policy = `
file:
  selectors:
    - { name: deletes, operation: [deleteFile, createFile], targetFilePath: [/etc/x] }
    - { name: changes, operation: [modifyFile, createFile], targetFilePath: [/etc/x] }
    - { name: logged, operation: [createExecutable] }
  responses:
    - { match: [deletes, changes], actions: [alert, block] }
    - { match: [logged], exclude: [deletes], actions: [log] }
process:
  selectors: [{ name: logged, operation: [fork] }]
  responses: [{ match: [logged], actions: [alert] }]
`;
  assert.deepEqual(of(policy), {
    prevented: ['createFile', 'modifyFile'],
    onlyReported: ['deleteFile'],
  });
});

test('a selector without operations is one for all of its section', () => {
  const policy = `
process:
  selectors: [{ name: any, processName: [sh] }]
  responses: [{ match: [any], actions: [alert, block] }]
`;
  assert.deepEqual(of(policy, 'lenient'), { prevented: ['exec'], onlyReported: ['fork'] });
});

test('a policy that blocks nothing has nothing to prevent', () => {
  const policy = `
process:
  selectors: [{ name: any, operation: [exec] }]
  responses: [{ match: [any], actions: [log] }]
`;
  assert.deepEqual(of(policy), { prevented: [], onlyReported: [] });
});
