import assert from 'node:assert/strict';
import { test } from 'node:test';
import request from 'supertest';
import { rememberGenerations } from '../../src/admission/generations.ts';
import { type BeforeSync, createApp } from '../../src/admission/server.ts';
import { indexPolicies } from '../../src/policy/policyIndex.ts';
import { cluster, generationFor, recorded } from './support.ts';

const review = recorded('mutate CREATE pods bare');
const appBeforeSync = (beforeSync?: BeforeSync) => {
  const generations = rememberGenerations({ number: 0, policies: [], index: indexPolicies([]) }, () =>
    Promise.resolve(),
  );
  const app = createApp({ generations, cluster, isReady: () => true, ...(beforeSync && { beforeSync }) });
  return { app, generations };
};

for (const [setting, allowed] of [
  [undefined, true],
  ['allow', true],
  ['deny', false],
] as const) {
  test(`before policies are read, pods are ${allowed ? 'allowed' : 'denied'} with \`${setting}\``, async () => {
    const { app } = appBeforeSync(setting);
    for (const path of ['/mutate', '/validate']) {
      const { body } = await request(app).post(path).send(review).expect(200);
      assert.deepEqual([body.response.allowed, body.response.patch], [allowed, undefined], path);
    }
  });
}

test('it is ready from the first generation on, and the time before makes no annotation honest', async () => {
  const { app, generations } = appBeforeSync();
  await request(app).get('/readyz').expect(503, { status: 'syncing', generation: 0 });
  generations.publish(generationFor({ a: 'team-a' }));
  await request(app).get('/readyz').expect(200, { status: 'ready', generation: 1 });
  assert.equal(generations.honest().length, 1);
});
