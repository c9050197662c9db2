import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openLineFile } from '../../src/events/lineFile.ts';
import { failureTotals } from '../../src/failures.ts';
import { eventually, must } from '../support/programs.ts';

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-lines-'));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const textOf = (folder: string, name = 's.ndjson') => readFile(join(folder, name), 'utf8');

test('keeps every line in order', () =>
  inFolder(async (folder) => {
    const file = openLineFile(folder, 's', { fsync: 'always' });
    const lines = Array.from({ length: 5_000 }, (_, index) => `{"n":${index}}\n`);
    for (const line of lines) file.append(line);
    await file.close(5_000);
    assert.equal(await textOf(folder), lines.join(''));
    assert.equal(file.waitingBytes(), 0);
  }));

test('a line half written by a process that died stays apart from the next', () =>
  inFolder(async (folder) => {
    await appendFile(join(folder, 's.ndjson'), '{"half":');
    const file = openLineFile(folder, 's', {});
    file.append('{"whole":1}\n');
    await file.close(5_000);
    assert.equal(await textOf(folder), '{"half":\n{"whole":1}\n');
  }));

test('puts a full file aside and keeps as many as asked', () =>
  inFolder(async (folder) => {
    const file = openLineFile(folder, 's', { maxFileBytes: 20, keepFiles: 2 });
    for (let index = 0; index < 5; index++) {
      file.append(`{"number":${index}}\n`);
      await eventually('the line is written', () => file.waitingBytes() === 0);
    }
    await file.close(5_000);
    const aside = (await readdir(folder)).filter((name) => name !== 's.ndjson').sort();
    assert.equal(aside.length, 2);
    const texts = await Promise.all([...aside, 's.ndjson'].map((name) => textOf(folder, name)));
    assert.equal(texts.join(''), '{"number":2}\n{"number":3}\n{"number":4}\n');
  }));

test('puts an old file aside', () =>
  inFolder(async (folder) => {
    const file = openLineFile(folder, 's', { maxFileAgeMs: 20 });
    file.append('{"old":1}\n');
    await eventually('the line is written', () => file.waitingBytes() === 0);
    await new Promise((resolve) => setTimeout(resolve, 40));
    file.append('{"new":1}\n');
    await file.close(5_000);
    assert.equal(await textOf(folder), '{"new":1}\n');
    assert.equal((await readdir(folder)).length, 2);
  }));

test('tries again until the file can be written, and loses nothing', () =>
  inFolder(async (folder) => {
    const blocked = join(folder, 's.ndjson');
    await mkdir(blocked);
    const file = openLineFile(folder, 's', {});
    file.append('{"n":1}\n');
    await new Promise((resolve) => setTimeout(resolve, 30));
    await rm(blocked, { recursive: true });
    file.append('{"n":2}\n');
    await file.close(5_000);
    assert.equal(await textOf(folder), '{"n":1}\n{"n":2}\n');
  }));

test('closing ends within its deadline when the file cannot be written', () =>
  inFolder(async (folder) => {
    await mkdir(join(folder, 's.ndjson'));
    const file = openLineFile(folder, 's', {});
    file.append('{"n":1}\n');
    const start = performance.now();
    await file.close(50);
    assert.ok(performance.now() - start < 1_000);
  }));

test('closing ends within its deadline when a write never comes back', () =>
  inFolder(async (folder) => {
    const path = join(folder, 's.ndjson');
    await must('mkfifo', [path]);
    const reader = await open(path, 'r+');
    try {
      // Nobody reads, so that the kernel takes 64 KiB and no more.
      const file = openLineFile(folder, 's', {});
      file.append('first\n');
      await file.written();
      for (let n = 0; n < 200; n++) file.append(`${'x'.repeat(1_000)}\n`);
      const before = failureTotals.get('document_dropped') ?? 0;
      const start = performance.now();
      await file.close(50);
      assert.ok(performance.now() - start < 1_000);
      // The first of them went by itself, and arrived.
      assert.equal((failureTotals.get('document_dropped') ?? 0) - before, 199);
    } finally {
      // Else a thread of this process would wait for ever.
      for (let left = 'first\n'.length + 200 * 1_001; left > 0; ) {
        left -= (await reader.read(Buffer.alloc(1 << 16))).bytesRead;
      }
      await reader.close();
    }
  }));

/** Writes 100 lines where a file may have 30,000 bytes, takes the limit away once a write has failed for it, and ends. */
const overLimit = (folder: string, atLimit = '') => `
import { spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import { failureTotals } from '${join(import.meta.dirname, '../../src/failures.ts')}';
import { openLineFile } from '${join(import.meta.dirname, '../../src/events/lineFile.ts')}';
process.on('SIGXFSZ', () => undefined);
const path = '${folder}/s.ndjson';
const file = openLineFile('${folder}', 's', {});
for (let n = 0; n < 100; n++) file.append(JSON.stringify({ n, text: 'x'.repeat(500) }) + '\\n');
while (!failureTotals.has('document_write_failed')) await new Promise((resolve) => setTimeout(resolve, 5));
${atLimit}
const { status } = spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
await file.close(5_000);
process.exit(status);
`;

const runOverLimit = (script: string) =>
  must('prlimit', ['--fsize=30000:unlimited', process.execPath, '--input-type=module', '-e', script]);

test('a disk that is full in the middle of a line cuts none, and loses and doubles none', () =>
  inFolder(async (folder) => {
    await runOverLimit(overLimit(folder));
    const numbers = (await textOf(folder)).split('\n').map((line) => (line === '' ? -1 : JSON.parse(line).n));
    assert.deepEqual(numbers, [...Array(100).keys(), -1]);
  }));

test('a line whose beginning was taken away with its file is written whole to the next one', () =>
  inFolder(async (folder) => {
    await runOverLimit(overLimit(folder, "renameSync(path, path + '.taken');"));
    const numbers = (await textOf(folder)).split('\n').map((line) => (line === '' ? -1 : JSON.parse(line).n));
    const [first = 0] = numbers;
    assert.deepEqual(numbers, [...Array.from({ length: 100 - first }, (_, index) => first + index), -1]);
    const whole = (await textOf(folder, 's.ndjson.taken')).split('\n').slice(0, -1);
    assert.equal(whole.length, first);
  }));
