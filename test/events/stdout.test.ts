import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { maxWaitingBytes } from '../../src/events/sink.ts';
import { stdoutSink } from '../../src/events/stdout.ts';
import { failuresTotal } from '../../src/metrics.ts';

const document = {
  dataStream: 'logs-cloud_defend.alerts-default',
  json: JSON.stringify({ message: 'two\nlines' }),
};

const counted = async (failure: string): Promise<number> => {
  const { values } = await failuresTotal.get();
  return values.find(({ labels }) => labels.failure === failure)?.value ?? 0;
};

test('writes each document as one line of JSON', async () => {
  let text = '';
  const output = new Writable({
    write(chunk, _, done) {
      text += String(chunk);
      done();
    },
  });
  const sink = stdoutSink(output);
  sink.write(document);
  sink.write(document);
  await sink.close();
  assert.equal(text, '{"message":"two\\nlines"}\n{"message":"two\\nlines"}\n');
});

test('drops and counts what a reader that has stopped does not take', async () => {
  const before = await counted('document_dropped');
  const sink = stdoutSink(new Writable({ write: () => undefined }));
  const large = { ...document, json: JSON.stringify({ message: 'x'.repeat(maxWaitingBytes) }) };
  for (let index = 0; index < 5; index++) sink.write(large);
  assert.equal(await counted('document_dropped'), before + 4);
  await sink.close(10);
});

test('goes on when the reader has gone', async () => {
  const before = [await counted('document_write_failed'), await counted('document_dropped')] as const;
  const output = new Writable({ write: (_chunk, _encoding, done) => done(new Error('write EPIPE')) });
  const sink = stdoutSink(output);
  sink.write(document);
  await new Promise((resolve) => setImmediate(resolve));
  sink.write(document);
  assert.equal(await counted('document_write_failed'), before[0] + 1);
  assert.equal(await counted('document_dropped'), before[1] + 1);
  await sink.close();
});
