import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runController } from '../../src/controller/controller.ts';
import { openCluster } from '../../src/kubernetes/client.ts';
import { type EventWriter, openEventWriter } from '../../src/kubernetes/eventWriter.ts';
import { installDefinition } from '../../src/kubernetes/install.ts';
import type { Pod } from '../../src/kubernetes/kinds.ts';
import { watchNamespaceModes } from '../../src/kubernetes/namespaceModes.ts';
import { followPolicies } from '../../src/kubernetes/policySource.ts';
import { failuresTotal } from '../../src/metrics.ts';
import { type ApiProxy, startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { helmRequirements, helms, releaseNamespace, render } from '../support/helm.ts';
import { createPodIn } from '../support/pods.ts';
import { eventually } from '../support/programs.ts';
import { installReports } from '../support/reports.ts';

const skip = clusterRequirements({ breakable: true });
const namespace = `terms-${Date.now().toString(36)}`;
const policiesKey = 'd4c-gate.io/policies';
const excluded = `excluded-${namespace}`;
const podNames = ['a', 'b', 'c', 'd', 'e'];
let cluster: TestCluster;
let proxy: ApiProxy;

interface Leader {
  /** Method and path of its requests that write. */
  readonly writes: string[];
  readonly events: EventWriter;
  end(): Promise<void>;
}

/** What a replica does that leads, without a webhook, so that every annotation is the controller's work. */
async function lead(kubeconfig = proxy.kubeconfig): Promise<Leader> {
  const client = await openCluster({ kubeconfig });
  const writes: string[] = [];
  const watching: typeof client = {
    ...client,
    mergePatch(kind, object, ...rest) {
      writes.push(`${kind}/${object.name}`);
      return client.mergePatch(kind, object, ...rest);
    },
  };
  const policies = await followPolicies(watching);
  const namespaces = watchNamespaceModes(watching, { excluded: [excluded] });
  const events = openEventWriter(watching, { instance: 'test' });
  const ending = new AbortController();
  const place = { clusterId: undefined, clusterName: undefined, ownNamespace: 'd4c-gate' };
  const ended = runController(watching, { policies, namespaces, events, place, term: ending.signal });
  return {
    writes,
    events,
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
    await cluster.client.create('namespaces', {
      metadata: { name: excluded, labels: { 'd4c-gate.io/mode': 'enforce' } },
    });
    for (const name of podNames) await createPod(name);
    await createPod('left-alone', excluded);
    await cluster.client.create('containerpolicies', { metadata: { name: 'p' }, spec: specOf('app:x') });
    await cluster.client.create('containerpolicies', { metadata: { name: 'q' }, spec: specOf('app:y') });
  },
  { timeout: 120_000 },
);
after(async () => {
  await proxy?.close();
  await cluster?.close();
});

function createPod(name: string, place = namespace): Promise<Pod> {
  const spec = { containers: [{ name: 'c', image: 'localhost/none' }], schedulerName: 'nobody' };
  return createPodIn(cluster.client, { metadata: { name, namespace: place, labels: { app: 'x' } }, spec });
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

  const { metadata } = await cluster.client.get('pods', { name: 'left-alone', namespace: excluded });
  assert.equal(metadata.annotations, undefined, 'excluded namespaces never opt in');

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

test('the rights that the chart gives are enough for all of it', {
  skip: skip ?? helmRequirements,
  timeout: 90_000,
}, async (t) => {
  const [helm] = helms;
  assert.ok(helm !== undefined);
  await installReports(cluster.client);
  await cluster.kubectl(['create', 'namespace', releaseNamespace]);
  const rights = (await render(helm, {})).filter(
    ({ kind, metadata }) =>
      metadata.name === 'd4c-gate-webhook' &&
      ['ServiceAccount', 'ClusterRole', 'ClusterRoleBinding'].includes(kind),
  );
  assert.equal(rights.length, 3);
  const args = ['apply', '-n', releaseNamespace, '-f', '-'];
  const applied = await cluster.kubectl(args, {
    stdin: rights.map((each) => JSON.stringify(each)).join('\n'),
  });
  assert.equal(applied.exitCode, 0, applied.stderr);

  const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-rights-'));
  t.after(() => folder.remove());
  const { stdout: view } = await cluster.kubectl(['config', 'view', '--raw', '--minify', '-o', 'json']);
  const { stdout: token } = await cluster.kubectl([
    'create',
    'token',
    'd4c-gate-webhook',
    '-n',
    releaseNamespace,
  ]);
  const config = JSON.parse(view);
  config.users[0].user = { token: token.trim() };
  const kubeconfig = join(folder.path, 'kubeconfig');
  await writeFile(kubeconfig, JSON.stringify(config));

  const failed = async () => (await failuresTotal.get()).values.reduce((sum, { value }) => sum + value, 0);
  const before = await failed();
  const leader = await lead(kubeconfig);
  t.after(() => leader.end());
  await edit('q', 'app:x');
  await allHave('p,q');
  const pod = { apiVersion: 'v1', kind: 'Pod', name: 'a', namespace };
  leader.events.tell({ regarding: pod, reason: 'Tested', action: 'Test', note: 'x' });
  const report = () => cluster.client.find('reports', { name: 'd4c-gate', namespace });
  await eventually('the report is written', report, 15_000);
  await eventually('the Event is written', async () =>
    (await cluster.client.list('events', { namespace })).some(({ reason }) => reason === 'Tested'),
  );
  const mode = (value: string | null) =>
    cluster.client.mergePatch(
      'namespaces',
      { name: namespace },
      { metadata: { labels: { 'd4c-gate.io/mode': value } } },
    );
  await mode(null);
  await eventually('the report is deleted', async () => (await report()) === undefined);
  await eventually(
    'the status says that it applies to none',
    async () => (await cluster.client.get('containerpolicies', { name: 'q' })).status?.boundPods === 0,
    10_000,
  );
  assert.equal(await failed(), before);
});
