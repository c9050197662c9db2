import assert from 'node:assert/strict';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import request from 'supertest';
import { createApp } from '../../src/admission/server.ts';
import { registry } from '../../src/metrics.ts';
import { eventually } from '../support/programs.ts';
import { cluster, generationFor, generationsOf, recorded } from './support.ts';

const review = JSON.stringify(recorded('mutate CREATE pods bare'));
const shed = async () =>
  (await registry.getSingleMetric('d4c_gate_admission_shed_total')?.get())?.values[0]?.value;

test('past the limit a request is refused at once, and taken again when another has ended', async (t) => {
  const app = createApp({
    generations: generationsOf(generationFor({})),
    cluster,
    isReady: () => true,
    limits: { maxInFlight: 1 },
  });
  const server = createServer(app).listen(0);
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const headers = { 'content-type': 'application/json', 'content-length': review.length };
  const slow = httpRequest({ port, path: '/mutate', method: 'POST', headers });
  slow.on('error', () => undefined);
  slow.write(review.slice(0, 10));

  const before = (await shed()) ?? 0;
  const ask = () => request(server).post('/mutate').set('content-type', 'application/json').send(review);
  const refused = await eventually('one is refused', async () => {
    const reply = await ask();
    return reply.status === 200 ? undefined : reply;
  });
  assert.deepEqual([refused.status, refused.body.code], [503, 'OVERLOADED']);
  assert.equal(((await shed()) ?? 0) - before, 1);
  // Health is no admission request, or an overloaded process would be killed.
  await request(server).get('/healthz').expect(200);
  slow.destroy();
  await eventually('one is taken', async () => (await ask()).status === 200);
});
