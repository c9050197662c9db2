import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ContainerIdentity } from '../../src/node/identity.ts';
import { type ClusterView, clusterNode, plainHost } from '../../src/node/place.ts';
import type { NodePod } from '../../src/nodePod.ts';
import type { CompiledPolicy } from '../../src/policy/compile.ts';
import { indexPolicies } from '../../src/policy/policyIndex.ts';
import type { Generation } from '../../src/sources/directory.ts';
import { execPolicy, identityWith } from './identities.ts';

const generationOf = (number: number, ...policies: CompiledPolicy[]): Generation => ({
  number,
  policies,
  index: indexPolicies(policies),
});
const policy = execPolicy('web', 'containerImageName: [web]');
const ofFile = execPolicy('file');
const pod = {
  name: 'web-0',
  namespace: 'shop',
  uid: 'u1',
  labels: undefined,
  annotations: undefined,
  ips: [],
};

/** A container of a pod in `namespace`. */
function inPod(namespace = 'shop'): ContainerIdentity {
  const facts = {
    namespace,
    podName: { name: pod.name },
    podLabels: undefined,
    clusterId: undefined,
    clusterName: undefined,
  };
  return { ...identityWith(facts), pod: { ...pod, namespace } };
}

const podNow = (facts: Partial<NodePod> = {}): NodePod => ({
  name: 'web-0',
  namespace: 'shop',
  uid: 'u1',
  fileUid: undefined,
  labels: new Map([['app', 'web']]),
  annotations: new Map(),
  ips: ['10.0.0.9'],
  ownerKind: 'ReplicaSet',
  images: ['registry.example/web:1'],
  isFinished: false,
  claimedPolicies: 'web',
  claimedUndecided: undefined,
  ...facts,
});

function view(facts: Partial<ClusterView> = {}): ClusterView {
  return {
    generation: () => generationOf(4, policy),
    isOfFile: (id) => id === 'file',
    hasFiles: false,
    modeOf: (namespace) => (namespace === 'shop' ? 'enforce' : null),
    podOf: () => undefined,
    pods: () => [],
    clusterId: () => 'cluster-1',
    close: async () => undefined,
    ...facts,
  };
}

const cases: readonly {
  because: string;
  container: ContainerIdentity;
  facts?: Partial<ClusterView>;
  mode?: 'observe' | 'enforce';
  basis: { ids: string[]; mode: string } | null | undefined;
}[] = [
  { because: 'its namespace enforces', container: inPod(), basis: { ids: ['web'], mode: 'enforce' } },
  {
    because: 'its namespace observes',
    container: inPod(),
    facts: { modeOf: () => 'observe' },
    basis: { ids: ['web'], mode: 'observe' },
  },
  {
    because: 'the node observes, whatever its namespace says',
    container: inPod(),
    mode: 'observe',
    basis: { ids: ['web'], mode: 'observe' },
  },
  { because: 'its namespace has not opted in', container: inPod('other'), basis: null },
  {
    because: 'its namespace has not opted in, which needs no policies to be known',
    container: inPod('other'),
    facts: { generation: () => generationOf(0), clusterId: () => undefined },
    basis: null,
  },
  {
    because: 'its namespace is not known yet',
    container: inPod(),
    facts: { modeOf: () => undefined },
    basis: undefined,
  },
  {
    because: 'policies are not known yet',
    container: inPod(),
    facts: { generation: () => generationOf(0) },
    basis: undefined,
  },
  {
    because: 'it is not known whether it is of a pod',
    container: { ...inPod(), pod: undefined },
    basis: undefined,
  },
  { because: 'it is of no pod and no file was given', container: identityWith({}), basis: null },
  {
    because: 'it is of no pod, for which files were given',
    container: identityWith({}),
    facts: { hasFiles: true, generation: () => generationOf(4, policy, ofFile) },
    basis: { ids: ['file'], mode: 'enforce' },
  },
];

for (const { because, container, facts, mode = 'enforce', basis } of cases) {
  const outcome = basis === undefined ? 'waits' : basis === null ? 'is left alone' : 'is bound';
  test(`on a node of a cluster a container ${outcome}: ${because}`, () => {
    const found = clusterNode(view(facts), mode, undefined).basisOf(container);
    const ids = (policies: readonly CompiledPolicy[]) => policies.map(({ id }) => id);
    assert.deepEqual(found && { ids: ids(found.policies), mode: found.mode }, basis);
  });
}

test('labels, annotations, addresses and owner of a pod are those that the API server has now', () => {
  const node = clusterNode(view({ podOf: () => podNow() }), 'enforce', undefined);
  const { pod: completed, workload } = node.complete(inPod());
  assert.deepEqual(workload.podLabels, new Map([['app', 'web']]));
  assert.equal(workload.clusterId, 'cluster-1');
  assert.deepEqual(
    { ips: completed?.ips, ownerKind: completed?.ownerKind },
    { ips: ['10.0.0.9'], ownerKind: 'ReplicaSet' },
  );
});

test('what the runtime told stays where the API server has no such pod', () => {
  const told = { ...inPod(), pod: { ...pod, ips: ['10.0.0.1'] } };
  assert.deepEqual(clusterNode(view(), 'enforce', undefined).complete(told).pod?.ips, ['10.0.0.1']);
});

test('a pod whose annotation is not what the node binds differs', () => {
  const differencesOf = (...pods: NodePod[]) =>
    clusterNode(view({ pods: () => pods }), 'enforce', undefined)
      .differences()
      .map(({ found, expected }) => ({ found, expected }));
  assert.deepEqual(differencesOf(podNow()), []);
  assert.deepEqual(differencesOf(podNow({ claimedPolicies: undefined })), [{ found: '', expected: 'web' }]);
  assert.deepEqual(differencesOf(podNow({ claimedPolicies: 'web,x' })), [
    { found: 'web,x', expected: 'web' },
  ]);
  assert.deepEqual(differencesOf(podNow({ claimedUndecided: 'x' })), [{ found: 'web;x', expected: 'web' }]);
  assert.deepEqual(differencesOf(podNow({ images: ['other'], claimedPolicies: '' })), []);
});

test('a pod that nothing is bound for does not differ', () => {
  const claims = { claimedPolicies: 'forged' };
  const pods = [
    podNow({ ...claims, namespace: 'other' }),
    podNow({ ...claims, isFinished: true }),
    podNow({ ...claims, fileUid: 'f' }),
  ];
  assert.deepEqual(clusterNode(view({ pods: () => pods }), 'enforce', undefined).differences(), []);
});

test('a plain host binds every container in the same way', () => {
  const source = { current: () => generationOf(2, policy), close: () => undefined };
  const host = plainHost(source, 'enforce', 'cluster-1');
  assert.deepEqual(host.basisOf(identityWith({})), { policies: [policy], mode: 'enforce', generation: 2 });
  assert.equal(host.complete(inPod()).workload.clusterId, 'cluster-1');
  assert.equal(host.complete(identityWith({})).workload.clusterId, null);
});
