import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { readJson } from '../../src/admission/body.ts';

const deadlineMs = 30_000;

function incoming(): IncomingMessage {
  const request = new IncomingMessage(new Socket());
  request.headers['content-type'] = 'application/json';
  return request;
}

test('a body that comes in pieces is read as one', async () => {
  const request = incoming();
  for (const piece of ['{"a"', ':', '[1]}']) request.push(piece);
  request.push(null);
  assert.deepEqual(await readJson(request, { deadlineMs }), { a: [1] });
});

test('a character that is split between two pieces stays whole', async () => {
  const request = incoming();
  const bytes = Buffer.from('"é"');
  request.push(bytes.subarray(0, 2));
  request.push(bytes.subarray(2));
  request.push(null);
  assert.equal(await readJson(request, { deadlineMs }), 'é');
});

test('a body that does not end is given up at its deadline', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const request = incoming();
  request.push('{');
  const reading = assert.rejects(readJson(request, { deadlineMs }), {
    code: 'REVIEW_INCOMPLETE',
    message: /30000/,
  });
  t.mock.timers.tick(deadlineMs);
  await reading;
});

test('a connection that breaks ends the reading at once', async () => {
  const request = incoming();
  request.push('{');
  const reading = assert.rejects(readJson(request, { deadlineMs }), {
    code: 'REVIEW_INCOMPLETE',
    message: /too early/,
  });
  request.destroy();
  await reading;
});
