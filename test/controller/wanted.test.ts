import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KnownPod, knownPod } from '../../src/controller/knownPods.ts';
import { hasAnnotations, wantedAnnotations, wasMissed } from '../../src/controller/wanted.ts';
import type { Pod } from '../../src/kubernetes/kinds.ts';
import { policiesKey, undecidedKey } from '../../src/kubernetes/names.ts';
import { stateOf } from '../../src/kubernetes/namespaceModes.ts';
import { compile } from '../../src/policy/compile.ts';
import { indexPolicies } from '../../src/policy/policyIndex.ts';
import { readPolicy } from '../../src/policy/read.ts';

const place = { clusterId: 'id', clusterName: undefined, ownNamespace: 'd4c-gate' };
const labelledAt = Date.parse('2026-01-01T00:00:00Z');

function policy(id: string, more: object = {}) {
  const selector = { name: 's', operation: ['exec'], ...more };
  const text = JSON.stringify({
    process: { selectors: [selector], responses: [{ match: ['s'], actions: ['log'] }] },
  });
  const { policy: read } = readPolicy(text);
  assert.ok(read !== undefined);
  return compile(id, read);
}

const policies = [
  policy('all'),
  policy('named', { kubernetesPodName: ['web-b*'] }),
  policy('x', { kubernetesClusterName: ['x'] }),
];
const generation = { number: 1, policies, index: indexPolicies(policies) };

const pod = (metadata: Pod['metadata'] = {}, more: Partial<Pod> = {}): KnownPod =>
  knownPod({
    metadata: {
      name: 'web-bbbbb',
      namespace: 'a',
      uid: 'u',
      creationTimestamp: '2026-01-01T00:01:00Z',
      ...metadata,
    },
    spec: { containers: [{ name: 'c', image: 'nginx' }] },
    ...more,
  });
const namespaceOf = (mode?: string) =>
  stateOf({
    metadata: {
      name: 'a',
      creationTimestamp: new Date(labelledAt).toISOString(),
      labels: mode ? { 'd4c-gate.io/mode': mode } : {},
    },
  });
const wantedOf = (known: KnownPod, mode?: string) =>
  wantedAnnotations(known, namespaceOf(mode), generation, place);

test('the name that a pod has by now decides what its generateName left open', () => {
  const wanted = wantedOf(pod({ generateName: 'web-' }), 'enforce');
  assert.deepEqual(wanted, { [policiesKey]: 'all,named', [undecidedKey]: 'x' });
});

test('in both modes annotations are written, and without a mode they are taken off', () => {
  assert.equal(wantedOf(pod(), 'observe')?.[policiesKey], 'all,named');
  assert.deepEqual(wantedOf(pod()), { [policiesKey]: undefined, [undecidedKey]: undefined });
});

test('who is left as he is', () => {
  const mirror = { annotations: { 'kubernetes.io/config.mirror': 'x' } };
  for (const [known, because] of [
    [pod(mirror), 'the static pod of a mirror takes no annotation'],
    [pod({ deletionTimestamp: '2026-01-01T00:02:00Z' }), 'it is gone in a moment'],
    [pod({ namespace: 'kube-system' }), 'the cluster depends on it'],
    [pod({ namespace: 'd4c-gate' }), 'd4c-gate depends on it'],
    [pod({}, { status: { phase: 'Succeeded' } }), 'no policy has anything to decide about it'],
  ] as const) {
    assert.equal(wantedOf(known, 'enforce'), undefined, because);
  }
  assert.equal(
    wantedAnnotations(pod(), undefined, generation, place),
    undefined,
    'nothing is known of its namespace',
  );
  assert.ok(
    wantedOf(pod({}, { status: { phase: 'Failed' } })),
    'a namespace that has opted out is left clean',
  );
});

test('saying nothing is not the same as saying that no policy applies', () => {
  const wanted = { [policiesKey]: '', [undecidedKey]: undefined };
  assert.equal(hasAnnotations(pod(), wanted), false);
  assert.equal(hasAnnotations(pod({ annotations: { [policiesKey]: '', other: 'x' } }), wanted), true);
  assert.equal(
    hasAnnotations(pod({ annotations: { [policiesKey]: '', [undecidedKey]: 'x' } }), wanted),
    false,
  );
});

test('a pod was missed when it came after the label and nobody wrote on it', () => {
  const enforced = namespaceOf('enforce');
  const at = (ms: number) => new Date(labelledAt + ms).toISOString();
  assert.equal(wasMissed(pod(), enforced), true);
  assert.equal(
    wasMissed(pod({ annotations: { [policiesKey]: '' } }), enforced),
    false,
    'the webhook wrote on it',
  );
  assert.equal(wasMissed(pod({ creationTimestamp: at(-1_000) }), enforced), false, 'it was there before');
  assert.equal(
    wasMissed(pod({ creationTimestamp: at(2_000) }), enforced),
    false,
    'the API server had hardly heard of it',
  );
  assert.equal(wasMissed(pod(), namespaceOf()), false, 'nobody is to be asked about it');
});

test('of a pod nothing is kept but what decides', () => {
  const { pod: kept } = pod({
    annotations: { big: 'x'.repeat(1_000), [policiesKey]: 'all' },
    labels: { app: 'a' },
  });
  assert.deepEqual(kept.annotations, { [policiesKey]: 'all' });
  assert.equal(JSON.stringify(pod({ annotations: { big: 'x'.repeat(1_000) } })).includes('xxx'), false);
});
