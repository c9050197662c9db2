import assert from 'node:assert/strict';
import { test } from 'node:test';
import { denialOf } from '../../src/admission/denial.ts';
import type { Review } from '../../src/admission/review.ts';

const review = (more: Partial<Review>): Review => ({
  uid: 'u',
  operation: 'CREATE',
  resource: 'pods',
  namespace: 'a',
  name: '',
  dryRun: false,
  object: undefined,
  oldObject: undefined,
  ...more,
});

test('an Event stands beside the object that was refused', () => {
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'o', controller: true };
  const generateName = 'web-1-';
  for (const [asked, regarding, because] of [
    [review({ name: 'p' }), { apiVersion: 'v1', kind: 'Pod', name: 'p', namespace: 'a' }, 'it has a name'],
    [
      review({ object: { metadata: { generateName, ownerReferences: [owner] } } }),
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'o', namespace: 'a' },
      'a pod without a name never was, its controller is',
    ],
    [
      review({ object: { metadata: { generateName } } }),
      { apiVersion: 'v1', kind: 'Pod', name: 'web-1', namespace: 'a' },
      'there is nothing else that it could stand beside',
    ],
    [
      review({ resource: 'containerpolicies.d4c-gate.io', name: 'p', namespace: '' }),
      { apiVersion: 'd4c-gate.io/v1alpha1', kind: 'ContainerPolicy', name: 'p' },
      'it has no namespace',
    ],
    [
      review({ resource: 'namespaces', name: 'a', namespace: 'a', operation: 'UPDATE' }),
      { apiVersion: 'v1', kind: 'Namespace', name: 'a' },
      'a namespace is not in itself',
    ],
    [
      review({ name: 'p', operation: 'UPDATE', oldObject: { metadata: { uid: 'u-1' } } }),
      { apiVersion: 'v1', kind: 'Pod', name: 'p', namespace: 'a', uid: 'u-1' },
      'it was there before',
    ],
  ] as const) {
    assert.deepEqual(denialOf(asked, 'no')?.regarding, regarding, because);
  }
});

test('the reason says what was refused', () => {
  const exec = denialOf(review({ resource: 'pods/exec', name: 'p', operation: 'CONNECT' }), 'no');
  assert.deepEqual([exec?.reason, exec?.note], ['ExecDenied', 'exec was refused: no']);
  assert.equal(exec?.isPodThere, true);
  const update = denialOf(review({ name: 'p', operation: 'UPDATE' }), 'no');
  assert.equal(update?.isPodThere, undefined);
  assert.deepEqual([update?.reason, update?.note], ['AdmissionDenied', 'update was refused: no']);
  const observed = denialOf(review({ resource: 'pods/exec', name: 'p', operation: 'CONNECT' }), 'no', true);
  assert.deepEqual(
    [observed?.reason, observed?.action, observed?.note],
    ['ExecObserved', 'Allow', 'exec would be refused in mode enforce: no'],
  );
});

test('what it could not stand beside has no Event, whatever the request says', () => {
  assert.equal(denialOf(review({ resource: 'deployments.apps', name: 'd' }), 'no'), undefined);
  assert.equal(denialOf(review({}), 'no'), undefined);
  assert.equal(denialOf(review({ object: { metadata: [] } }), 'no'), undefined);
  assert.equal(
    denialOf(review({ object: { metadata: { ownerReferences: [{ controller: true }] } } }), 'no'),
    undefined,
  );
});
