import assert from 'node:assert/strict';
import { test } from 'node:test';
import request from 'supertest';
import { deadlineOf, timeoutOf, within } from '../../src/admission/deadline.ts';
import { failuresTotal } from '../../src/metrics.ts';
import { assertLinear } from '../support/growth.ts';
import { appOf, generationFor, generationsOf, recorded } from './support.ts';

/** Which time is read from which URL, in milliseconds, and why. */
const timeouts: [url: string, ms: number, because: string][] = [
  ['/mutate?timeout=5s', 5_000, 'the API server writes it so'],
  ['/mutate?timeout=10s', 10_000, 'the default of a webhook'],
  ['/mutate?timeout=1m30s', 30_000, 'no webhook may take longer than 30 s'],
  ['/mutate?timeout=1.5s', 1_500, 'Go writes fractions'],
  ['/mutate?timeout=500ms', 500, 'Go writes milliseconds'],
  ['/mutate?timeout=1ms', 100, 'nothing can be answered in less than 100 ms'],
  ['/mutate?a=b&timeout=7s', 7_000, 'other parameters may stand before it'],
  ['/mutate', 30_000, 'it is absent'],
  ['/mutate?timeout=', 30_000, 'it is empty'],
  ['/mutate?timeout=0s', 30_000, "Go's zero is no limit"],
  ['/mutate?timeout=-5s', 30_000, 'no time is negative'],
  ['/mutate?timeout=5', 30_000, 'it has no unit'],
  ['/mutate?timeout=5s5', 30_000, 'it ends in the middle'],
  ['/mutate?timeout=NaN', 30_000, 'it is no duration'],
  [`/mutate?timeout=${'9'.repeat(100)}s`, 30_000, 'it is longer than any'],
];

for (const [url, ms, because] of timeouts) {
  test(`of ${url.slice(0, 40)} ${ms} ms are read, because ${because}`, () => {
    assert.equal(timeoutOf(url), ms);
  });
}

test('reading it takes time linear in the URL', () => {
  for (const piece of ['1s', '9', '&timeout=1', '%', '1h1m']) {
    assertLinear(`of \`${piece}\``, (bytes) => {
      const url = `/mutate?timeout=${piece.repeat(bytes / piece.length)}`;
      return () => timeoutOf(url);
    });
  }
});

test('the deadline is a little before the API server gives up', () => {
  for (const [url, atMost] of [
    ['/?timeout=5s', 4_500],
    ['/?timeout=1s', 900],
    ['/?timeout=30s', 29_500],
  ] as const) {
    const left = deadlineOf(url).leftMs();
    assert.ok(left <= atMost && left > atMost - 50, `${url}: ${left} ms`);
  }
});

test('work that fails after its deadline harms nothing', async () => {
  const late = Promise.withResolvers<never>();
  await assert.rejects(within({ leftMs: () => 1 }, late.promise), { code: 'REVIEW_LATE' });
  late.reject(new Error('nobody waits for this'));
  await new Promise(setImmediate);
});

test('a judge that waits too long is answered for in time, with the uid, and counted', async () => {
  const counted = async () =>
    (await failuresTotal.get()).values.find(({ labels }) => labels.failure === 'review_late')?.value ?? 0;
  const before = await counted();
  // Looks for a change of the policies, which never ends: as with an API server that hangs.
  const app = appOf(generationsOf(generationFor({ a: 'team-b' }), () => new Promise(() => undefined)));
  const { apiVersion, kind, request: asked } = recorded('mutate CREATE pods bare');
  const annotations = { 'd4c-gate.io/policies': 'forged' };
  const object = { ...asked.object, metadata: { ...asked.object.metadata, annotations } };
  const startedAt = performance.now();
  const reply = await request(app)
    .post('/validate?timeout=2s')
    .send({ apiVersion, kind, request: { ...asked, object } });
  const ms = performance.now() - startedAt;
  assert.ok(ms > 1_700 && ms < 2_000, `answered after ${ms} ms`);
  assert.equal(reply.status, 504);
  const { uid, allowed, status } = reply.body.response;
  assert.deepEqual([uid, allowed, status.code, status.reason], [asked.uid, false, 504, 'REVIEW_LATE']);
  assert.equal((await counted()) - before, 1);
});

test('a body that comes too late is refused before the API server gives up', async (t) => {
  const app = appOf(generationsOf(generationFor({})));
  const server = app.listen(0, '127.0.0.1');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = await new Promise<{ port: number }>((resolve) =>
    server.once('listening', () => resolve(server.address() as { port: number })),
  );
  const startedAt = performance.now();
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode('{')),
  });
  const reply = await fetch(`http://127.0.0.1:${address.port}/validate?timeout=2s`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    duplex: 'half',
  });
  assert.equal(reply.status, 408);
  assert.ok(performance.now() - startedAt < 2_000);
  assert.equal(((await reply.json()) as { code: string }).code, 'REVIEW_INCOMPLETE');
});
