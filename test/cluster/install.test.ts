import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { hasStatus } from '../../src/kubernetes/client.ts';
import { install, installDefinition } from '../../src/kubernetes/install.ts';
import type { Kind } from '../../src/kubernetes/kinds.ts';
import { ownLabels } from '../../src/kubernetes/names.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, must, run } from '../support/programs.ts';
import { installReports } from '../support/reports.ts';

const skip = clusterRequirements({ breakable: true });
const main = join(import.meta.dirname, '../../src/main.ts');
const suffix = Date.now().toString(36);
// Port 9 answers nobody, so what each webhook does then can be seen.
const options = { endpoint: { url: 'https://127.0.0.1:9' }, ownNamespace: `gate-${suffix}` };
let cluster: TestCluster;

before(async () => {
  if (skip === undefined) cluster = await startCluster();
});
after(() => cluster?.close());

const uninstall = (...args: string[]) =>
  run(process.execPath, [main, 'uninstall', '--kubeconfig', cluster.kubeconfig, ...args], {
    limitMs: 60_000,
  });

async function namesOf(kind: Kind): Promise<string[]> {
  return (await cluster.client.list(kind)).map(
    ({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`,
  );
}

test('an API server keeps keys that are not in the language, so that `/policies` can refuse them', {
  skip,
  timeout: 60_000,
}, async () => {
  await installDefinition(cluster.client);
  const spec = {
    file: {
      selectors: [{ name: 'a', operation: ['createFile'], targetFilePaths: ['/etc/x'] }],
      responses: [{ match: ['a'], actions: ['log'], excludes: ['b'], deep: { er: [1] } }],
      more: true,
    },
    network: { selectors: [] },
  };
  const name = `unknown-keys-${suffix}`;
  const manifest = { apiVersion: 'd4c-gate.io/v1alpha1', kind: 'ContainerPolicy', metadata: { name }, spec };
  const { stderr, exitCode } = await cluster.kubectl(['create', '--validate=ignore', '-f', '-'], {
    stdin: JSON.stringify(manifest),
  });
  assert.equal(exitCode, 0, stderr);
  assert.deepEqual((await cluster.client.get('containerpolicies', { name })).spec, spec);
  await cluster.client.delete('containerpolicies', { name });
});

test('`kubectl explain` describes the language, and `kubectl get cpol` the status', {
  skip,
  timeout: 60_000,
}, async () => {
  await installDefinition(cluster.client);
  const { stdout } = await cluster.kubectl(['explain', 'containerpolicy.spec.file.selectors']);
  assert.match(stdout, /targetFilePath\s+<\[\]string>/);
  assert.match(stdout, /`\*` stays\s+within one component/);
  const name = `columns-${suffix}`;
  await cluster.client.create('containerpolicies', { metadata: { name }, spec: {} });
  const lastTransitionTime = new Date().toISOString();
  const shared = { status: 'True', reason: 'Fine', message: '', lastTransitionTime } as const;
  const conditions = [
    { type: 'Accepted', ...shared },
    { type: 'Enforceable', ...shared, status: 'False' as const },
  ];
  await cluster.client.mergePatch(
    'containerpolicies',
    { name },
    { status: { boundPods: 7, observedGeneration: 1, conditions } },
    { subresource: 'status' },
  );
  const { stdout: table } = await cluster.kubectl(['get', 'cpol', name]);
  assert.match(table, /NAME\s+ACCEPTED\s+ENFORCEABLE\s+PODS\s+AGE\n\S+\s+True\s+False\s+7\s/);
  await cluster.client.delete('containerpolicies', { name });
});

test('installing twice changes nothing, and keeps what another field manager owns', {
  skip,
  timeout: 60_000,
}, async () => {
  await install(cluster.client, options);
  const kind = 'validatingwebhookconfigurations';
  const caBundle = Buffer.from(await aCertificate()).toString('base64');
  const webhooks = [{ name: 'policies.d4c-gate.io', clientConfig: { caBundle } }];
  await cluster.client.apply(kind, { metadata: { name: 'd4c-gate' }, webhooks } as object, {
    fieldManager: 'd4c-gate-certificates',
  });
  const first = await cluster.client.get(kind, { name: 'd4c-gate' });
  await install(cluster.client, options);
  const second = await cluster.client.get(kind, { name: 'd4c-gate' });
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
  assert.equal(
    second.webhooks?.find(({ name }) => name.startsWith('policies.'))?.clientConfig.caBundle,
    caBundle,
  );
});

test('while nobody answers, pods are created and unchecked policies are not', {
  skip,
  timeout: 60_000,
}, async () => {
  await install(cluster.client, options);
  const namespace = `open-${suffix}`;
  await cluster.client.create('namespaces', {
    metadata: { name: namespace, labels: { 'd4c-gate.io/mode': 'enforce' } },
  });
  const pod = {
    metadata: { name: 'p', namespace, annotations: { 'd4c-gate.io/policies': 'x' } },
    spec: { containers: [{ name: 'c', image: 'localhost/none' }] },
  };
  await eventually('the pod is created', async () => {
    try {
      return await cluster.client.create('pods', pod, { deadlineMs: 30_000 });
    } catch (error) {
      // The controllers have not made the namespace's service account yet.
      if (hasStatus(error, 403) && /serviceaccount/.test(error.message)) return undefined;
      throw error;
    }
  });
  await assert.rejects(
    cluster.client.create(
      'containerpolicies',
      { metadata: { name: 'unchecked' }, spec: {} },
      { deadlineMs: 30_000 },
    ),
    /failed calling webhook "policies\.d4c-gate\.io"/,
  );
  await cluster.client.mergePatch(
    'namespaces',
    { name: namespace },
    { metadata: { labels: { 'd4c-gate.io/mode': null } } },
    { deadlineMs: 30_000 },
  );
});

test('uninstalling takes annotations off pods, leaves nothing, and says what it removed', {
  skip,
  timeout: 120_000,
}, async () => {
  const namespace = options.ownNamespace;
  const kinds = [
    'mutatingwebhookconfigurations',
    'validatingwebhookconfigurations',
    'customresourcedefinitions',
  ] as const;
  await installReports(cluster.client);
  await installDefinition(cluster.client);
  await uninstall();
  const before = await Promise.all(kinds.map(namesOf));
  await installDefinition(cluster.client);
  await cluster.client.create('containerpolicies', { metadata: { name: 'mine' }, spec: {} });
  await install(cluster.client, options);
  const metadata = { name: 'own', namespace, labels: { ...ownLabels } };
  await cluster.client.create('secrets', { metadata });
  await cluster.client.create('leases', { metadata });
  await cluster.client.create('secrets', { metadata: { name: 'not-ours', namespace: 'default' } });

  const kept = await uninstall('--keep-policies');
  assert.equal(kept.exitCode, 0, kept.stderr);
  assert.deepEqual(
    (await cluster.client.list('containerpolicies')).map((policy) => policy.metadata.name),
    ['mine'],
  );
  await install(cluster.client, options);
  for (const [name, labels] of [
    ['d4c-gate', { ...ownLabels }],
    ['of-another', {}],
  ] as const) {
    await cluster.client.create('reports', { metadata: { name, namespace: 'default', labels } });
  }

  const { exitCode, stdout, stderr } = await uninstall();
  assert.equal(exitCode, 0, stderr);
  assert.match(stdout, /^webhook configurations: 2 removed$/m);
  assert.match(stdout, /^policies: 1 removed$/m);
  assert.deepEqual(
    (await cluster.client.list('reports')).map((report) => report.metadata.name),
    ['of-another'],
  );
  assert.match(stdout, /^custom resource definitions: 1 removed$/m);
  assert.deepEqual(await Promise.all(kinds.map(namesOf)), before);
  const left = await cluster.client.list('pods');
  assert.deepEqual(
    left.filter(({ metadata: { annotations = {} } }) => 'd4c-gate.io/policies' in annotations),
    [],
  );
  for (const kind of ['secrets', 'leases'] as const) {
    assert.equal((await namesOf(kind)).includes(`${namespace}/own`), false, kind);
  }
  assert.ok((await namesOf('secrets')).includes('default/not-ours'));

  const again = await uninstall();
  assert.equal(again.exitCode, 0);
  assert.match(again.stdout, /^webhook configurations: 0 removed$/m);
});

test('uninstalling from an address where nobody answers is one error', {
  skip,
  timeout: 60_000,
}, async () => {
  const { stdout: text } = await cluster.kubectl(['config', 'view', '--raw', '--minify', '-o', 'json']);
  const config = JSON.parse(text);
  config.clusters[0].cluster.server = 'https://127.0.0.1:2';
  const folder = await mkdtemp(join(tmpdir(), 'd4c-kubeconfig-'));
  const file = join(folder, 'config');
  await writeFile(file, JSON.stringify(config));
  const { exitCode, stderr } = await run(process.execPath, [main, 'uninstall', '--kubeconfig', file]);
  await rm(folder, { recursive: true });
  assert.equal(exitCode, 2);
  assert.match(stderr, /^d4c-gate: GET \/api\/v1: .*ECONNREFUSED.* \(KUBERNETES_UNREACHABLE\)\n$/);
});

/** Any certificate will do: the API server only wants PEM. */
async function aCertificate(): Promise<string> {
  const { stdout } = await must('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-keyout', '/dev/null', '-subj', '/CN=test', '-days', '1'],
  ]);
  return stdout;
}
