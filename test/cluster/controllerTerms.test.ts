import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runController } from '../../src/controller/controller.ts';
import { hasStatus, openCluster } from '../../src/kubernetes/client.ts';
import { openEventWriter } from '../../src/kubernetes/eventWriter.ts';
import { installDefinition } from '../../src/kubernetes/install.ts';
import type { Pod } from '../../src/kubernetes/kinds.ts';
import { watchNamespaceModes } from '../../src/kubernetes/namespaceModes.ts';
import { followPolicies } from '../../src/kubernetes/policySource.ts';
import { type ApiProxy, startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements({ breakable: true });
const namespace = `terms-${Date.now().toString(36)}`;
const policiesKey = 'd4c-gate.io/policies';
const podNames = ['a', 'b', 'c', 'd', 'e'];
let cluster: TestCluster;
let proxy: ApiProxy;

interface Leader {
  /** Method and path of its requests that write. */
  readonly writes: string[];
  end(): Promise<void>;
}

/** What a replica does that leads, without a webhook, so that every annotation is the controller's work. */
async function lead(): Promise<Leader> {
  const client = await openCluster({ kubeconfig: proxy.kubeconfig });
  const writes: string[] = [];
  const watching: typeof client = {
    ...client,
    mergePatch(kind, object, ...rest) {
      writes.push(`${kind}/${object.name}`);
      return client.mergePatch(kind, object, ...rest);
    },
  };
  const policies = await followPolicies(watching);
  const namespaces = watchNamespaceModes(watching);
  const events = openEventWriter(watching, { instance: 'test' });
  const ending = new AbortController();
  const place = { clusterId: undefined, clusterName: undefined, ownNamespace: 'd4c-gate' };
  const ended = runController(watching, { policies, namespaces, events, place, term: ending.signal });
  return {
    writes,
    async end() {
      ending.abort();
      await ended;
      await Promise.all([policies.close(), namespaces.close(), events.close()]);
      client.close();
    },
  };
}

const specOf = (...labels: string[]) => ({
  process: {
    selectors: [{ name: 'programs', operation: ['exec'], kubernetesPodLabel: labels }],
    responses: [{ match: ['programs'], actions: ['log'] }],
  },
});

const pods = () => cluster.client.list('pods', { namespace });
const allHave = (wanted: string) =>
  eventually(
    `every pod has \`${wanted}\``,
    async () => (await pods()).every(({ metadata }) => metadata.annotations?.[policiesKey] === wanted),
    10_000,
  );
const edit = (id: string, ...labels: string[]) =>
  cluster.client.mergePatch('containerpolicies', { name: id }, { spec: specOf(...labels) });

before(
  async () => {
    if (skip !== undefined) return;
    cluster = await startCluster();
    proxy = await startApiProxy(cluster.kubeconfig);
    await installDefinition(cluster.client);
    await cluster.client.create('namespaces', {
      metadata: { name: namespace, labels: { 'd4c-gate.io/mode': 'enforce' } },
    });
    for (const name of podNames) await createPod(name);
    await cluster.client.create('containerpolicies', { metadata: { name: 'p' }, spec: specOf('app:x') });
    await cluster.client.create('containerpolicies', { metadata: { name: 'q' }, spec: specOf('app:y') });
  },
  { timeout: 120_000 },
);
after(async () => {
  await proxy?.close();
  await cluster?.close();
});

/** The controllers make a namespace's service account a moment after it. */
function createPod(name: string): Promise<Pod> {
  const spec = { containers: [{ name: 'c', image: 'localhost/none' }], schedulerName: 'nobody' };
  return eventually('the pod is created', async () => {
    try {
      return await cluster.client.create('pods', {
        metadata: { name, namespace, labels: { app: 'x' } },
        spec,
      });
    } catch (error) {
      if (hasStatus(error, 403) && /serviceaccount/.test(error.message)) return undefined;
      throw error;
    }
  });
}

test('two that lead at once come to the same and then rest, and the one whose term ends writes no more', {
  skip,
  timeout: 90_000,
}, async (t) => {
  const [one, other] = [await lead(), await lead()];
  t.after(() => Promise.all([one.end(), other.end()]));
  await allHave('p');
  await edit('q', 'app:*');
  await allHave('p,q');
  await eventually(
    'the status has the counts',
    async () =>
      (await cluster.client.get('containerpolicies', { name: 'q' })).status?.boundPods === podNames.length,
    10_000,
  );
  // Both have settled by now: whatever one of them writes from here on answers the other.
  await sleep(4_000);
  const before = [one.writes.length, other.writes.length];
  const versions = (await pods()).map(({ metadata }) => metadata.resourceVersion);
  await sleep(2_000);
  assert.deepEqual([one.writes.length, other.writes.length], before);
  assert.deepEqual(
    (await pods()).map(({ metadata }) => metadata.resourceVersion),
    versions,
  );

  await one.end();
  const ofTheFirst = one.writes.length;
  await edit('q', 'app:y');
  await allHave('p');
  assert.equal(one.writes.length, ofTheFirst);
  assert.ok(other.writes.length > (before[1] ?? 0));
});

test('a leader for which the API server is too busy waits, and mends as soon as it can', {
  skip,
  timeout: 90_000,
}, async (t) => {
  const leader = await lead();
  t.after(() => leader.end());
  await allHave('p');
  proxy.misbehave = (request) =>
    request.method === 'PATCH' && request.url.pathname.includes('/pods/') ? { status: 429 } : undefined;
  await edit('q', 'app:*');
  await eventually('it tries', () => leader.writes.filter((write) => write.startsWith('pods/')).length > 0);
  await sleep(2_500);
  const tries = leader.writes.filter((write) => write.startsWith('pods/')).length;
  assert.ok(tries < 100, `${tries} requests to an API server that is too busy`);
  proxy.misbehave = () => undefined;
  await allHave('p,q');
});
