import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCluster } from '../../src/kubernetes/client.ts';
import { installDefinition } from '../../src/kubernetes/install.ts';
import { watchPolicies } from '../../src/kubernetes/policies.ts';
import { startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements();
const suffix = Date.now().toString(36);
let cluster: TestCluster;

before(async () => {
  if (skip === undefined) cluster = await startCluster();
});
after(async () => {
  if (skip !== undefined) return;
  for (const { metadata } of await cluster.client.list('containerpolicies')) {
    const { name = '' } = metadata;
    if (name.endsWith(`-${suffix}`)) await cluster.client.delete('containerpolicies', { name });
  }
  await cluster.close();
});

const goodSpec = (path = '/usr/bin/**') => ({
  file: {
    selectors: [{ name: 'a', operation: ['modifyExecutable'], targetFilePath: [path] }],
    responses: [{ match: ['a'], actions: ['alert'] }],
  },
});
/** The misspelt key must not make the selector match more. */
const badSpec = {
  file: {
    selectors: [{ name: 'a', operation: ['modifyExecutable'], targetFilePaths: ['/usr/bin/**'] }],
    responses: [{ match: ['a'], actions: ['alert'] }],
  },
};

test('waits for a definition that is not there yet, then reads every policy', {
  skip,
  timeout: 60_000,
}, async (t) => {
  let batches = 0;
  const watched = watchPolicies(cluster.client, {
    times: { longestPauseMs: 500 },
    onChange: () => {
      batches += 1;
    },
  });
  t.after(() => watched.close());
  const id = `first-${suffix}`;
  await installDefinition(cluster.client);
  await cluster.client.create('containerpolicies', { metadata: { name: id }, spec: goodSpec() });
  assert.equal(await watched.ready, true);
  const policy = await eventually('it is read', () => watched.get(id), 10_000);
  assert.deepEqual(
    policy.faults.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.deepEqual(policy.good?.policy.file?.selectors[0]?.targetFilePath, ['/usr/bin/**']);
  await eventually('the batch is told', () => batches > 0);
});

test('a bad edit keeps the last good policy and says why; a good one replaces it', {
  skip,
  timeout: 60_000,
}, async (t) => {
  await installDefinition(cluster.client);
  const id = `edited-${suffix}`;
  await cluster.client.create('containerpolicies', { metadata: { name: id }, spec: goodSpec() });
  const watched = watchPolicies(cluster.client);
  t.after(() => watched.close());
  await watched.ready;
  const generations = () => {
    const policy = watched.get(id);
    return `${policy?.generation} good ${policy?.good?.generation}`;
  };
  assert.equal(generations(), '1 good 1');

  await cluster.client.jsonPatch('containerpolicies', { name: id }, [
    { op: 'replace', path: '/spec', value: badSpec },
  ]);
  await eventually('the edit is seen', () => generations() === '2 good 1');
  const [fault] = watched.get(id)?.faults ?? [];
  assert.equal(fault?.code, 'POLICY_UNKNOWN_KEY');
  assert.equal(fault?.path, 'file.selectors[0].targetFilePaths');
  assert.equal(fault?.suggestion, 'targetFilePath');

  const value = goodSpec('/opt/*');
  await cluster.client.jsonPatch('containerpolicies', { name: id }, [
    { op: 'replace', path: '/spec', value },
  ]);
  await eventually('the next edit is seen', () => generations() === '3 good 3');

  const before = watched.get(id);
  await cluster.client.mergePatch(
    'containerpolicies',
    { name: id },
    { status: { boundPods: 3 } },
    { subresource: 'status' },
  );
  await cluster.client.mergePatch('containerpolicies', { name: id }, { metadata: { labels: { a: 'b' } } });
  const marker = `marker-${suffix}`;
  await cluster.client.create('containerpolicies', { metadata: { name: marker }, spec: goodSpec() });
  await eventually('what came later is seen', () => watched.get(marker));
  assert.equal(watched.get(id), before, 'a new status or label does not make it read again');

  await cluster.client.delete('containerpolicies', { name: id });
  await eventually('the deletion is seen', () => watched.get(id) === undefined);
});

test('another object of the same name does not inherit a good policy', {
  skip,
  timeout: 60_000,
}, async (t) => {
  await installDefinition(cluster.client);
  const name = `again-${suffix}`;
  await cluster.client.create('containerpolicies', { metadata: { name }, spec: goodSpec() });
  const proxy = await startApiProxy(cluster.kubeconfig);
  const client = await openCluster({ kubeconfig: proxy.kubeconfig });
  const watched = watchPolicies(client, { times: { longestPauseMs: 500, pieceMs: 1_000 } });
  t.after(async () => {
    await watched.close();
    client.close();
    await proxy.close();
  });
  await watched.ready;
  const uid = watched.get(name)?.uid;
  proxy.misbehave = () => ({ status: 503 });
  await eventually('the watch is cut off', () => watched.stalenessMs() > 1_500, 10_000);
  assert.ok(watched.get(name)?.good, 'an outage takes no policy away');
  await cluster.client.delete('containerpolicies', { name });
  await cluster.client.create('containerpolicies', { metadata: { name }, spec: badSpec });
  proxy.misbehave = () => undefined;
  await eventually('the other object is seen', () => watched.get(name)?.uid !== uid, 10_000);
  assert.equal(watched.get(name)?.good, undefined);
});
