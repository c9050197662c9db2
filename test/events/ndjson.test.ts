import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openNdjson } from '../../src/events/ndjson.ts';

const alert = { dataStream: 'logs-cloud_defend.alerts-default', json: JSON.stringify({ message: 'alert' }) };
const log = { dataStream: 'logs-cloud_defend.file-default', json: JSON.stringify({ message: 'log' }) };

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-ndjson-'));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('writes one file per data stream, in a folder it makes', () =>
  inFolder(async (folder) => {
    const sink = await openNdjson(join(folder, 'a', 'b'));
    sink.write(alert);
    sink.write(log);
    sink.write(alert);
    await sink.close();
    const read = (name: string) => readFile(join(folder, 'a', 'b', name), 'utf8');
    assert.equal(await read(`${alert.dataStream}.ndjson`), '{"message":"alert"}\n'.repeat(2));
    assert.equal(await read(`${log.dataStream}.ndjson`), '{"message":"log"}\n');
  }));

test('goes on with the file of the process before', () =>
  inFolder(async (folder) => {
    for (let start = 0; start < 2; start++) {
      const sink = await openNdjson(folder);
      sink.write(alert);
      await sink.close();
    }
    assert.deepEqual(await readdir(folder), [`${alert.dataStream}.ndjson`]);
    const text = await readFile(join(folder, `${alert.dataStream}.ndjson`), 'utf8');
    assert.equal(text, '{"message":"alert"}\n'.repeat(2));
  }));

test('refuses a folder that cannot be one', () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, 'file'), '');
    await assert.rejects(openNdjson(join(folder, 'file', 'x')), { code: 'OUTPUT_UNUSABLE' });
  }));

test('takes nothing after close, and close twice is fine', () =>
  inFolder(async (folder) => {
    const sink = await openNdjson(folder);
    await sink.close();
    sink.write(alert);
    await sink.close();
    assert.deepEqual(await readdir(folder), []);
  }));
