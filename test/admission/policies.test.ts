import assert from 'node:assert/strict';
import { test } from 'node:test';
import request from 'supertest';
import type { Authoring } from '../../src/admission/policies.ts';
import { createApp } from '../../src/admission/server.ts';
import { cluster, generationFor, generationsOf } from './support.ts';

const generations = generationsOf(generationFor({}));

const selector = { name: 'programs', operation: ['exec'] };
const good = { process: { selectors: [selector], responses: [{ match: ['programs'], actions: ['log'] }] } };
const bad = {
  process: {
    selectors: [{ ...selector, operation: ['exec', 'created'], targetFilePaths: ['/etc/x'] }],
    responses: [{ match: ['program'], actions: ['log'] }],
  },
};
const named = {
  process: { ...good.process, selectors: [{ ...selector, kubernetesClusterName: ['production'] }] },
};

interface Asked {
  operation?: string;
  name?: string;
  object?: unknown;
  oldObject?: unknown;
  authoring?: Authoring;
}

async function ask({ operation = 'CREATE', name = 'mine', object, oldObject = null, authoring }: Asked) {
  const app = createApp({ generations, cluster, isReady: () => true, ...(authoring && { authoring }) });
  const resource = { group: 'd4c-gate.io', version: 'v1alpha1', resource: 'containerpolicies' };
  const asked = { uid: 'u', operation, name, resource, object, oldObject };
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: asked };
  const { status, body } = await request(app).post('/policies').send(review);
  return { status, ...body.response } as {
    status: number | { message: string };
    allowed: boolean;
    warnings?: string[];
  };
}
const messageOf = ({ status }: Awaited<ReturnType<typeof ask>>): string =>
  typeof status === 'object' ? status.message : '';

test('a policy without faults is allowed without a word', async () => {
  const answer = await ask({ object: { spec: good } });
  assert.deepEqual([answer.allowed, answer.warnings], [true, undefined]);
});

test('every fault of a policy is in one answer, with its path and code', async () => {
  const answer = await ask({ object: { spec: bad } });
  assert.equal(answer.allowed, false);
  const places = messageOf(answer)
    .split('; spec.')
    .map((line) => [line.split(': ')[0]?.replace('spec.', ''), /\((\w+)\)$/.exec(line)?.[1]]);
  assert.deepEqual(places, [
    ['process.selectors[0].operation[1]', 'POLICY_UNKNOWN_OPERATION'],
    ['process.selectors[0].targetFilePaths', 'POLICY_UNKNOWN_KEY'],
    ['process.responses[0].match[0]', 'POLICY_UNKNOWN_SELECTOR'],
  ]);
});

for (const [because, object] of [
  ['it has no specification', {}],
  ['its specification is empty', { spec: {} }],
  ['its specification is a list', { spec: [] }],
  ['its specification is a text', { spec: 'process: {}' }],
] as const) {
  test(`a policy is refused because ${because}`, async () => {
    const answer = await ask({ object });
    assert.equal(answer.allowed, false);
    assert.match(messageOf(answer), /^spec.*\(POLICY_\w+\)$/);
  });
}

test('warnings come as warnings, also beside a refusal', async () => {
  const { allowed, warnings } = await ask({ object: { spec: named } });
  assert.equal(allowed, true);
  assert.match(warnings?.join() ?? '', /^spec\.process\.selectors\[0\]\S*: .*\(POLICY_CLUSTER_NAME_UNSET\)$/);
  const known = await ask({ object: { spec: named }, authoring: { clusterName: 'production' } });
  assert.equal(known.warnings, undefined);
});

test('lenient mode takes what Elastic accepts', async () => {
  const object = { spec: { ...good, more: 1 } };
  assert.equal((await ask({ object })).allowed, false);
  const { allowed, warnings } = await ask({ object, authoring: { mode: 'lenient' } });
  assert.equal(allowed, true);
  assert.match(warnings?.join() ?? '', /^spec\.more: .*\(POLICY_UNKNOWN_KEY\)$/);
});

test('a bad policy may lose its finalizers and change its labels, but not become another bad one', async () => {
  const oldObject = { metadata: { labels: {} }, spec: bad };
  const relabelled = { metadata: { labels: { team: 'a' } }, spec: bad };
  assert.equal((await ask({ operation: 'UPDATE', object: relabelled, oldObject })).allowed, true);
  const edited = { spec: { ...bad, more: 1 } };
  assert.equal((await ask({ operation: 'UPDATE', object: edited, oldObject })).allowed, false);
});

test('an ID that a file has is refused', async () => {
  const authoring = { isTaken: (id: string) => id === 'default' };
  const answer = await ask({ name: 'default', object: { spec: good }, authoring });
  assert.match(messageOf(answer), /^metadata\.name: .*`default`.*\(POLICY_ID_DUPLICATE\)$/);
  assert.equal((await ask({ name: 'other', object: { spec: good }, authoring })).allowed, true);
});

test('a thousand faults make an answer of bounded length', async () => {
  const spec = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`key${index}`, 1]));
  const message = messageOf(await ask({ object: { spec } }));
  assert.match(message, /; and \d+ more$/);
  assert.ok(message.length < 20_000, String(message.length));
});

test('what is no object cannot be judged', async () => {
  assert.match(messageOf(await ask({ object: 'x' })), /\(REVIEW_OBJECT\)$/);
});
