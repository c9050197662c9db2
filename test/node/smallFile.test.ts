import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readJsonFile, readSmallFile, stringsAt, textAt, valueAt } from '../../src/node/smallFile.ts';
import { withHostTree } from './hostTree.ts';

test('reads files of /proc, whose size is 0', {
  skip: process.platform !== 'linux' && 'needs Linux',
}, async () => {
  assert.match((await readSmallFile('/proc/self/cgroup')) ?? '', /:/);
});

test('reads a whole file, however it is cut into reads', () =>
  withHostTree({ '/empty': '', '/long': '' }, async (folder) => {
    const text = 'é'.repeat(100_000);
    await writeFile(join(folder, 'long'), text);
    assert.equal(await readSmallFile(join(folder, 'long')), text);
    assert.equal(await readSmallFile(join(folder, 'empty')), '');
  }));

test('reads files of /proc to their end', {
  skip: process.platform !== 'linux' && 'needs Linux',
}, async () => {
  // Some 100 kB, of which the kernel gives at most a page at once.
  const symbols = await readSmallFile('/proc/self/smaps');
  assert.ok((symbols?.length ?? 0) > 20_000 && symbols?.includes('[stack]'));
});

test('never waits for a FIFO, and reads neither folders nor huge files', () =>
  withHostTree({ '/huge': '' }, async (folder) => {
    await truncate(join(folder, 'huge'), 1 << 30);
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    for (const name of ['fifo', '.', 'huge', 'none']) {
      assert.equal(await readSmallFile(join(folder, name)), undefined);
    }
  }));

test('what is not JSON is unknown', () =>
  withHostTree({ '/bad': '{', '/good': { a: 1 } }, async (folder) => {
    assert.equal(await readJsonFile(join(folder, 'bad')), undefined);
    assert.deepEqual(await readJsonFile(join(folder, 'good')), { a: 1 });
  }));

test('looks only at own members', () => {
  const json = JSON.parse('{"a":{"b":"x","n":1,"e":""},"__proto__":{"c":"y"}}');
  assert.equal(textAt(json, 'a', 'b'), 'x');
  assert.equal(textAt(json, 'a', 'n'), undefined);
  assert.equal(textAt(json, 'a', 'e'), undefined);
  assert.equal(valueAt(json, 'a', 'constructor'), undefined);
  assert.equal(valueAt(null, 'a'), undefined);
  assert.deepEqual(
    [...(stringsAt(json, 'a') ?? [])],
    [
      ['b', 'x'],
      ['e', ''],
    ],
  );
  assert.equal(stringsAt({ a: ['x'] }, 'a'), undefined);
});
