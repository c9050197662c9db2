import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Express } from 'express';
import request from 'supertest';
import type { Cluster } from '../../src/admission/annotations.ts';
import { policiesKey, undecidedKey } from '../../src/kubernetes/names.ts';
import {
  applyPatch,
  appOf,
  generationOf,
  generationsOf,
  type PodObject,
  patchIn,
  policiesDirectory,
  type Recorded,
  recorded,
  recordedReviews,
} from './support.ts';

const generation = await generationOf(policiesDirectory);

/** What holds of every pod of the recordings: cluster, image, namespace, and a policy without conditions on the pod. */
const always = 'cluster-id,cluster-name,file-section,image-full-name,image-name,image-tag,namespace'.split(
  ',',
);
const sorted = (...more: string[]): string => [...always, ...more].sort().join(',');

/** The right answer to each recorded request: annotations that are written, or `allowed` without a patch, or `refused`. */
const expected: Record<string, { policies: string; undecided?: string } | 'allowed' | 'refused'> = {
  'mutate CREATE namespaces team-b': 'allowed',
  'validate CREATE namespaces team-b': 'allowed',
  'mutate UPDATE namespaces team-b': 'allowed',
  'validate UPDATE namespaces team-b': 'allowed',
  'mutate CREATE deployments web': 'allowed',
  'validate CREATE deployments web': 'allowed',
  'mutate CREATE replicasets web-98db78db6 of a Deployment': 'allowed',
  'validate CREATE replicasets web-98db78db6 of a Deployment': 'allowed',
  'mutate CREATE pods web-98db78db6- of a ReplicaSet': {
    policies: sorted('label-exact', 'pod-name-prefix'),
    undecided: 'pod-name-generated,pod-name-suffix-prefix',
  },
  // Recorded without our mutating webhook, so the annotations are missing.
  'validate CREATE pods web-98db78db6-dz96v of a ReplicaSet': 'refused',
  'mutate CREATE pods bare': { policies: sorted('label-prefix', 'pod-name-exact') },
  'mutate CREATE jobs j': 'allowed',
  'validate CREATE jobs j': 'allowed',
  'mutate CREATE cronjobs cj': 'allowed',
  'validate CREATE cronjobs cj': 'allowed',
  'mutate CREATE daemonsets ds': 'allowed',
  'validate CREATE daemonsets ds': 'allowed',
  'mutate CREATE statefulsets sts': 'allowed',
  'validate CREATE statefulsets sts': 'allowed',
  'mutate CONNECT pods/exec bare': 'allowed',
  'validate CONNECT pods/exec bare': 'allowed',
  'mutate CONNECT pods/attach bare': 'allowed',
  'validate CONNECT pods/attach bare': 'allowed',
  'mutate UPDATE pods j-wmxvn of a Job': { policies: sorted('label-of-a-job') },
  // A finalizer comes off; the annotations are as they were.
  'validate UPDATE pods j-wmxvn of a Job': 'allowed',
  // The annotation is forged, but it was so before, and a subresource cannot change metadata.
  'mutate UPDATE pods/ephemeralcontainers bare': 'allowed',
  'validate UPDATE pods/ephemeralcontainers bare': 'allowed',
  'mutate UPDATE pods/resize bare': 'allowed',
  'mutate CREATE pods dry as a dry run': { policies: sorted('two-conditions') },
  'validate CREATE pods dry as a dry run': 'refused',
  'mutate UPDATE replicasets web-98db78db6 of a Deployment': 'allowed',
  'validate UPDATE replicasets web-98db78db6 of a Deployment': 'allowed',
};

interface Answer {
  apiVersion: string;
  kind: string;
  response: {
    uid: string;
    allowed: boolean;
    patch?: string;
    patchType?: string;
    status?: { code: number; reason: string; message: string };
    auditAnnotations?: Record<string, string>;
  };
}

async function ask(app: Express, { hook, review }: Omit<Recorded, 'title'>): Promise<Answer['response']> {
  const reply = await request(app).post(`/${hook}`).send(review).expect(200).expect('content-type', /json/);
  const answer = reply.body as Answer;
  assert.equal(answer.apiVersion, 'admission.k8s.io/v1');
  assert.equal(answer.kind, 'AdmissionReview');
  assert.equal(answer.response.uid, review.request.uid);
  return answer.response;
}

const annotationsIn = ({ metadata }: PodObject) => ({
  policies: metadata.annotations?.[policiesKey],
  ...(metadata.annotations?.[undecidedKey] === undefined
    ? {}
    : { undecided: metadata.annotations[undecidedKey] }),
});

test('every recorded request has its expected answer', () => {
  assert.deepEqual(
    recordedReviews().map(({ title }) => title),
    Object.keys(expected),
  );
});

for (const each of recordedReviews()) {
  const right = expected[each.title];
  const told = typeof right === 'string' ? right : `patched with ${JSON.stringify(right)}`;
  test(`${each.title} is ${told}`, async () => {
    const app = appOf(generationsOf(generation));
    const response = await ask(app, each);
    assert.equal(response.allowed, right !== 'refused');
    const patch = patchIn({ response });
    if (typeof right !== 'object') return assert.deepEqual(patch, []);
    const patched = applyPatch(each.review.request.object, patch);
    assert.deepEqual(annotationsIn(patched), right);

    const again = structuredClone(each);
    again.review.request.object = patched;
    assert.equal((await ask(app, again)).patch, undefined, 'the second call changes nothing');
  });
}

test('a pod annotated while only its generateName was known is accepted with its name, as is one annotated anew', async () => {
  const app = appOf(generationsOf(generation));
  const created = recorded('mutate CREATE pods web-98db78db6- of a ReplicaSet');
  const nameless = applyPatch(
    created.request.object,
    patchIn({ response: await ask(app, { hook: 'mutate', review: created }) }),
  );
  const final = recorded('validate CREATE pods web-98db78db6-dz96v of a ReplicaSet');
  final.request.object.metadata.annotations = nameless.metadata.annotations;
  assert.equal((await ask(app, { hook: 'validate', review: final })).allowed, true);

  delete final.request.object.metadata.annotations;
  const patch = patchIn({ response: await ask(app, { hook: 'mutate', review: final }) });
  final.request.object = applyPatch(final.request.object, patch);
  assert.deepEqual(annotationsIn(final.request.object), {
    policies: sorted('label-exact', 'pod-name-generated', 'pod-name-prefix', 'pod-name-suffix-prefix'),
  });
  assert.equal((await ask(app, { hook: 'validate', review: final })).allowed, true);
});

test('a refusal names the annotation found, the one expected, and what to do', async () => {
  const app = appOf(generationsOf(generation));
  const review = recorded('validate CREATE pods dry as a dry run');
  review.request.object.metadata.annotations = { [policiesKey]: 'forged', [undecidedKey]: 'more' };
  const { allowed, status, auditAnnotations } = await ask(app, { hook: 'validate', review });
  assert.equal(allowed, false);
  assert.equal(status?.code, 403);
  assert.match(
    status?.message ?? '',
    /`d4c-gate\.io\/policies` is `forged`, but the policies give `cluster-id,/,
  );
  assert.match(status?.message ?? '', /`d4c-gate\.io\/policies-undecided` is `more`, but .* give absent/);
  assert.match(status?.message ?? '', /leave both annotations out of the request/);
  const refused = status?.message ?? '';
  assert.deepEqual(auditAnnotations, { policies: 'forged', undecided: 'more', refused });
});

test('what is not configured of the cluster makes its policies undecided', async () => {
  const unknown: Cluster = { clusterId: undefined, clusterName: undefined };
  const review = recorded('mutate CREATE pods bare');
  const response = await ask(appOf(generationsOf(generation), unknown), { hook: 'mutate', review });
  const { policies, undecided } = annotationsIn(applyPatch(review.request.object, patchIn({ response })));
  assert.equal(undecided, 'cluster-id,cluster-name');
  assert.equal(
    policies,
    'file-section,image-full-name,image-name,image-tag,label-prefix,namespace,pod-name-exact',
  );
});

test('another cluster, namespace, label and name give other policies', async () => {
  const other: Cluster = { clusterId: 'b', clusterName: 'staging' };
  const review = recorded('mutate CREATE pods bare');
  review.request.namespace = 'team-a';
  review.request.object.metadata.name = 'web-1';
  review.request.object.metadata.labels = { tier: '' };
  const container = review.request.object.spec.containers[0];
  assert.ok(container);
  container.image = 'nginx';
  const response = await ask(appOf(generationsOf(generation), other), { hook: 'mutate', review });
  assert.deepEqual(annotationsIn(applyPatch(review.request.object, patchIn({ response }))), {
    policies: 'file-section,label-any-value,other-image,other-namespace,other-tag,pod-name-prefix',
  });
});

test('images of init and ephemeral containers count', async () => {
  const app = appOf(generationsOf(generation));
  for (const list of ['initContainers', 'ephemeralContainers']) {
    const review = recorded('mutate CREATE pods bare');
    review.request.object.spec[list] = [{ name: 'more', image: 'docker.io/nginx' }];
    const response = await ask(app, { hook: 'mutate', review });
    const { policies } = annotationsIn(applyPatch(review.request.object, patchIn({ response })));
    assert.match(String(policies), /other-image/);
  }
});
