import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEvent } from '../../src/cli/event.ts';

const read = (document: unknown) => readEvent(document, 'event.yaml');

test('a file event has operations, a path and a mount, by default the root filesystem', () => {
  assert.deepEqual(read({ operation: 'createFile', path: '/a' }), {
    section: 'file',
    operations: ['createFile'],
    path: '/a',
    mount: 'root',
  });
  assert.deepEqual(read({ operation: ['createFile', 'deleteFile'], path: '/a b/c', mount: 'volume' }), {
    section: 'file',
    operations: ['createFile', 'deleteFile'],
    path: '/a b/c',
    mount: 'volume',
  });
});

test('a process event has an operation, an executable, and a terminal or not', () => {
  assert.deepEqual(read({ operation: 'exec', executable: '/bin/sh', interactive: true }), {
    section: 'process',
    operation: 'exec',
    executable: '/bin/sh',
    interactive: true,
  });
  assert.deepEqual(read({ operation: 'fork', executable: '/bin/sh' }), {
    section: 'process',
    operation: 'fork',
    executable: '/bin/sh',
    interactive: undefined,
  });
});

/** What is wrong, and what the message must name. */
const wrong: [document: unknown, message: RegExp][] = [
  [null, /must be a mapping/],
  [[], /must be a mapping/],
  [{}, /`operation` in `event.yaml` must be/],
  [{ operation: 'open', path: '/a' }, /`operation`/],
  [{ operation: [], path: '/a' }, /`operation`/],
  [{ operation: ['createFile', 'exec'], path: '/a' }, /`operation`/],
  [{ operation: 'createFile' }, /`path` .* must be an absolute path/],
  [{ operation: 'createFile', path: 'a' }, /`path`/],
  [{ operation: 'createFile', path: '/' }, /`path`/],
  [{ operation: 'createFile', path: '/a/' }, /`path`/],
  [{ operation: 'createFile', path: '/a/../b' }, /`path`/],
  [{ operation: 'createFile', path: `/${'a'.repeat(4096)}` }, /`path`/],
  [{ operation: 'createFile', path: '/a', mount: 'disk' }, /`mount` .* root, volume, volumeFile/],
  [{ operation: 'createFile', path: '/a', paht: '/b' }, /`paht` .* is not part of this event/],
  [{ operation: 'exec', path: '/a' }, /`path` .* is not part of this event/],
  [{ operation: 'exec', executable: '/a', interactive: 'yes' }, /`interactive`/],
];

for (const [document, message] of wrong) {
  test(`refuses ${JSON.stringify(document).slice(0, 80)}`, () => {
    assert.throws(() => read(document), { code: 'USAGE', message });
  });
}
