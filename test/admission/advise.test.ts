import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advise } from '../../src/admission/advise.ts';
import type { Review, ReviewAnswer } from '../../src/admission/review.ts';
import type { Mode } from '../../src/kubernetes/names.ts';
import { countLooks } from '../support/looks.ts';
import { cluster, generationFor, generationsOf, processGeneration, recorded, reviewOf } from './support.ts';

const log = { match: ['m'], actions: ['log'] };
const policiesBy = (conditions: Record<string, object>) =>
  processGeneration(
    Object.fromEntries(
      Object.entries(conditions).map(([id, more]) => [id, { m: { operation: ['exec'], ...more } }]),
    ),
    log,
  );

const generation = policiesBy({
  'by-name': { kubernetesPodName: ['web-*', 'sts-*', 'ds-*', 'j-*', 'cj-*'] },
  'by-suffix': { kubernetesPodName: ['web-b*', 'sts-0', 'ds-b*', 'j-b*', 'cj-2*'] },
  'never-made': { kubernetesPodName: ['web-a*', 'sts-a*', 'ds-a*', 'j-a*', 'cj-a*'] },
  'by-image': { containerImageName: ['busybox'] },
  elsewhere: { kubernetesNamespace: ['other'] },
});

function judge(review: Review, of = generation, mode?: Mode): ReviewAnswer {
  const live = {
    modeOf: () => mode,
    askMode: async () => mode,
    pod: () => assert.fail('no pod is read'),
    podPages: () => assert.fail('no pods are listed'),
  };
  return advise(review, { generations: generationsOf(of), cluster, live });
}

const created = (title: string) => reviewOf(recorded(title));

const workloads: [title: string, kind: string][] = [
  ['validate CREATE deployments web', 'Deployment'],
  ['validate CREATE statefulsets sts', 'StatefulSet'],
  ['validate CREATE daemonsets ds', 'DaemonSet'],
  ['validate CREATE jobs j', 'Job'],
  ['validate CREATE cronjobs cj', 'CronJob'],
];

for (const [title, kind] of workloads) {
  test(`the author of a ${kind} is told which policies will apply, and which may`, () => {
    const answer = judge(created(title));
    assert.equal(answer.allowed, true);
    assert.deepEqual(answer.warnings, [
      `d4c-gate: policies that will apply to the pods of this ${kind}: \`by-image\`, \`by-name\``,
      `d4c-gate: policies that may apply to the pods of this ${kind}, depending on the pod's name or labels: \`by-suffix\``,
    ]);
    assert.deepEqual(answer.audit, { policies: 'by-image,by-name', undecided: 'by-suffix' });
  });
}

test('that no policy will apply is said as well', () => {
  const answer = judge(created('validate CREATE deployments web'), generationFor({ other: 'elsewhere' }));
  assert.deepEqual(answer.warnings, ['d4c-gate: no policy will apply to the pods of this Deployment']);
});

test('in mode observe it is said that policies only report', () => {
  const review = created('validate CREATE deployments web');
  const answer = judge(review, generationFor({ first: 'team-b' }), 'observe');
  assert.match(answer.warnings?.join() ?? '', /`first`, which only report: the namespace is in mode observe/);
});

test("what a controller owns is its owner's matter, made or changed", () => {
  for (const title of [
    'validate CREATE replicasets web-98db78db6 of a Deployment',
    'validate UPDATE replicasets web-98db78db6 of a Deployment',
  ]) {
    assert.deepEqual(judge(created(title)), { allowed: true });
  }
});

test('an UPDATE is silent unless labels or images of the template change', () => {
  const { object } = created('validate CREATE deployments web');
  const changed = (change: (deployment: Deployment) => void): Review => {
    const after = structuredClone(object) as Deployment;
    change(after);
    return {
      ...created('validate CREATE deployments web'),
      operation: 'UPDATE',
      oldObject: object,
      object: after,
    };
  };
  const silent = [
    changed((deployment) => Object.assign(deployment.spec, { replicas: 7 })),
    changed((deployment) => Object.assign(deployment.spec.template.metadata, { annotations: { a: 'b' } })),
  ];
  for (const review of silent) assert.deepEqual(judge(review), { allowed: true });
  const told = [
    changed((deployment) => Object.assign(deployment.spec.template.metadata.labels, { tier: 'x' })),
    changed((deployment) => Object.assign(deployment.spec.template.spec.containers[0] ?? {}, { image: 'x' })),
  ];
  for (const review of told) assert.ok((judge(review).warnings ?? []).length > 0);
});

interface Deployment {
  spec: { template: { metadata: { labels: object }; spec: { containers: object[] } } };
}

test('a label that only the controller knows makes a policy undecided, another one does not', () => {
  const of = policiesBy({
    'by-pod': { kubernetesPodLabel: ['statefulset.kubernetes.io/pod-name:sts-0'] },
    'by-hash': { kubernetesPodLabel: ['pod-template-hash:*'] },
    'by-either': { kubernetesPodLabel: ['a:sts', 'controller-revision-hash:x'] },
    'by-label': { kubernetesPodLabel: ['a:sts'] },
  });
  const { audit } = judge(created('validate CREATE statefulsets sts'), of);
  assert.deepEqual(audit, { policies: 'by-either,by-label', undecided: 'by-pod' });
});

test('of 10,000 policies, those are looked at whose label the template has or may get', () => {
  const policies: Record<string, object> = {};
  for (let number = 0; number < 10_000; number++) {
    const key = number % 1_000 === 0 ? 'controller-revision-hash' : 'a';
    policies[`p${number}`] = { kubernetesPodLabel: [`${key}:x${number}`] };
  }
  const of = policiesBy(policies);
  const looks = countLooks(of.policies);
  const { audit } = judge(created('validate CREATE statefulsets sts'), of);
  assert.equal(looks(), 10);
  assert.equal(audit?.undecided?.split(',').length, 10);
});

test('before policies have been read, nothing is said', () => {
  const review = created('validate CREATE deployments web');
  assert.deepEqual(judge(review, { ...generationFor({}), number: 0 }), { allowed: true });
});

test('warnings name at most ten policies and stay short', () => {
  const ids = Array.from({ length: 500 }, (_, number) => [`policy-${number}-${'x'.repeat(50)}`, 'team-b']);
  const answer = judge(created('validate CREATE deployments web'), generationFor(Object.fromEntries(ids)));
  const [line = ''] = answer.warnings ?? [];
  assert.ok(line.length <= 900);
  assert.match(line, / and 490 more$/);
  assert.ok((answer.audit?.policies ?? '').length <= 1_000);
});

test('a workload without a template is an error of the request', () => {
  const review = { ...created('validate CREATE deployments web'), object: { metadata: {}, spec: {} } };
  assert.throws(() => judge(review), { code: 'REVIEW_OBJECT' });
});
