import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodePodOf } from '../../src/kubernetes/nodeView.ts';

test('of a pod only what binding and documents need is kept', () => {
  const pod = nodePodOf({
    metadata: {
      name: 'web-0',
      namespace: 'shop',
      uid: 'u1',
      labels: { app: 'web' },
      annotations: { 'd4c-gate.io/policies': 'a,b', 'kubernetes.io/config.mirror': 'f1' },
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Other', name: 'o', uid: 'o' },
        { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web', uid: 'r', controller: true },
      ],
    },
    spec: {
      initContainers: [{ name: 'i', image: 'init' }],
      containers: [{ name: 'c', image: 'main' }],
      ephemeralContainers: [{ name: 'e', image: 'debug' }],
    },
    status: { phase: 'Running', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] },
  });
  const { labels, annotations, ...rest } = pod;
  assert.deepEqual([...labels], [['app', 'web']]);
  assert.equal(annotations.size, 2);
  assert.deepEqual(rest, {
    name: 'web-0',
    namespace: 'shop',
    uid: 'u1',
    fileUid: 'f1',
    ips: ['10.0.0.1', 'fd00::1'],
    ownerKind: 'ReplicaSet',
    images: ['init', 'main', 'debug'],
    isFinished: false,
    claimedPolicies: 'a,b',
    claimedUndecided: undefined,
  });
});

test('a pod without anything is a pod', () => {
  const { name, images, isFinished } = nodePodOf({ metadata: {}, status: { phase: 'Failed' } });
  assert.deepEqual({ name, images, isFinished }, { name: '', images: [], isFinished: true });
});
