import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bindContainer } from '../../src/node/binding.ts';
import { execPolicy, identityWith } from './identities.ts';

const idsOf = (binding: ReturnType<typeof bindContainer>) => binding?.policies.map(({ id }) => id);
const web = execPolicy('web', 'containerImageName: [web]');
const db = execPolicy('db', 'containerImageName: [db]');
const shop = execPolicy('shop', 'kubernetesNamespace: [shop]');
const prod = execPolicy('prod', 'kubernetesClusterName: [prod]');
const all = execPolicy('all');

test('only policies that apply are in the table', () => {
  const binding = bindContainer([web, db, shop, all], identityWith({}), 'allow');
  assert.deepEqual(idsOf(binding), ['web', 'all']);
  assert.ok(binding?.table instanceof Uint8Array);
});

test('without a policy that applies there is no table', () => {
  assert.deepEqual(bindContainer([db], identityWith({}), 'allow'), { policies: [], table: null });
  assert.deepEqual(bindContainer([], identityWith({ image: undefined }), 'allow'), {
    policies: [],
    table: null,
  });
});

test('waits while a policy asks for what a runtime may still tell', () => {
  assert.equal(bindContainer([web], identityWith({ image: undefined }), 'allow'), undefined);
  assert.equal(bindContainer([all, web], identityWith({ image: undefined }), 'allow'), undefined);
});

test('does not wait for an image that nobody can name: the policy may apply, as at admission', () => {
  const identity = { ...identityWith({ image: undefined }), isImageUnreadable: true };
  const binding = bindContainer([web, shop], identity, 'allow');
  assert.deepEqual(idsOf(binding), ['web']);
  assert.equal(binding?.policies[0]?.applies, 'unknown');
});

test('does not wait for what no policy asks for', () => {
  const pod = identityWith({ podLabels: undefined, namespace: 'shop', podName: { name: 'p' } });
  assert.deepEqual(idsOf(bindContainer([web, shop, all], pod, 'allow')), ['web', 'shop', 'all']);
});

test('does not wait for the name of the cluster, which no runtime can tell', () => {
  const pod = identityWith({
    clusterName: undefined,
    namespace: 'shop',
    podName: { name: 'p' },
    podLabels: new Map(),
  });
  assert.deepEqual(idsOf(bindContainer([prod], pod, 'allow')), ['prod']);
});
