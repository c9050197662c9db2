import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtempDisposable, rename, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  maxPolicyBytes,
  type PolicyFile,
  policyFileReader,
  readPolicyFiles,
  saySame,
} from '../../src/sources/files.ts';

const newFolder = () => mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));

test('YAML and JSON files are read in the order of their names, all else is passed over', async () => {
  await using folder = await newFolder();
  for (const name of [
    'b.yaml',
    'a.yml',
    'c.json',
    'README.md',
    '.hidden.yaml',
    'backup.yaml~',
    'd.yaml.swp',
  ]) {
    await writeFile(join(folder.path, name), name);
  }
  await mkdir(join(folder.path, 'nested.yaml'));
  const files = await readPolicyFiles(folder.path);
  assert.deepEqual(
    files.map(({ id, text }) => [id, text]),
    [
      ['a', 'a.yml'],
      ['b', 'b.yaml'],
      ['c', 'c.json'],
    ],
  );
  assert.equal(files[0]?.file, join(folder.path, 'a.yml'));
});

test('a path to one file is that file, whatever its name', async () => {
  await using folder = await newFolder();
  const file = join(folder.path, 'policy.txt');
  await writeFile(file, 'x');
  assert.deepEqual(await readPolicyFiles(file), [{ file, id: 'policy', text: 'x' }]);
});

test('a file that is too large, not UTF-8 or not a regular file has a reason instead of a text', async () => {
  await using folder = await newFolder();
  await writeFile(join(folder.path, 'a.yaml'), 'x'.repeat(maxPolicyBytes + 1));
  await writeFile(join(folder.path, 'b.yaml'), Buffer.from([0xff]));
  execFileSync('mkfifo', [join(folder.path, 'c.yaml')]);
  await writeFile(join(folder.path, 'd.yaml'), 'x'.repeat(maxPolicyBytes));
  const files = await readPolicyFiles(folder.path);
  assert.deepEqual(
    files.map((file) => ('reason' in file ? file.reason : file.text.length)),
    ['it is larger than 1048576 bytes', 'it is not UTF-8', 'it is not a regular file', maxPolicyBytes],
  );
});

test('what is missing, and a link that leads nowhere, are errors that name the path', async () => {
  await using folder = await newFolder();
  const missing = join(folder.path, 'missing');
  await assert.rejects(readPolicyFiles(missing), {
    code: 'FILE_UNREADABLE',
    message: /missing.*no such file/,
  });
  await symlink('nowhere', join(folder.path, 'a.yaml'));
  await assert.rejects(readPolicyFiles(folder.path), { code: 'FILE_UNREADABLE' });
});

test('a ConfigMap that is swapped meanwhile is read as one state', async () => {
  await using folder = await newFolder();
  const names = Array.from({ length: 50 }, (_, index) => `${String(index).padStart(2, '0')}.yaml`);
  for (const state of ['one', 'two']) {
    await mkdir(join(folder.path, `..${state}`));
    for (const name of names) await writeFile(join(folder.path, `..${state}`, name), state);
  }
  await symlink('..one', join(folder.path, '..data'));
  for (const name of names) await symlink(`..data/${name}`, join(folder.path, name));
  let swapping = true;
  const swaps = (async () => {
    for (let turn = 0; swapping; turn++) {
      await symlink(turn % 2 === 0 ? '..two' : '..one', join(folder.path, '..next'));
      await rename(join(folder.path, '..next'), join(folder.path, '..data'));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  for (let turn = 0; turn < 20; turn++) {
    const texts = new Set((await readPolicyFiles(folder.path)).map(({ text }) => text));
    assert.equal(texts.size, 1);
  }
  swapping = false;
  await swaps;
});

test('files say the same when their names and contents do', () => {
  const file = { file: 'a', id: 'a', text: 'x' };
  assert.ok(saySame([file], [{ ...file }]));
  assert.ok(!saySame([file], [{ ...file, text: 'y' }]));
  assert.ok(!saySame([file], [{ ...file, file: 'b' }]));
  assert.ok(!saySame([file], [file, { file: 'b', id: 'b', text: '' }]));
  assert.ok(!saySame([{ ...file, text: null, reason: 'r' }], [{ ...file, text: '' }]));
});

test('a file that has stood unchanged is not opened again; one that was written or replaced is', async () => {
  await using folder = await newFolder();
  const [same, written, replaced] = ['a', 'b', 'c'].map((name) => join(folder.path, `${name}.yaml`)) as [
    string,
    string,
    string,
  ];
  for (const file of [same, written, replaced]) await writeFile(file, '1');
  const read = policyFileReader();
  const texts = (files: readonly PolicyFile[]) => files.map(({ text }) => text).join('');
  // Readings of a file that was only just written do not count for later.
  const [early] = await read(folder.path);
  let before = await read(folder.path);
  assert.notEqual(before[0], early);
  const deadline = performance.now() + 20_000;
  for (let last = before; ; last = before) {
    before = await read(folder.path);
    if (before[0] === last[0] && before[2] === last[2]) break;
    assert.ok(performance.now() < deadline, 'the files are opened again and again');
  }
  // Of the same size, and with the modification time of before: what `cp -p` and `rsync` leave.
  const { atime, mtime } = await stat(written);
  await writeFile(written, '2');
  await utimes(written, atime, mtime);
  await writeFile(join(folder.path, 'c.new'), '3');
  await rename(join(folder.path, 'c.new'), replaced);
  const after = await read(folder.path);
  assert.equal(texts(after), '123');
  assert.equal(after[0], before[0]);
});
