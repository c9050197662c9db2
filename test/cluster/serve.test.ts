import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { KubernetesError } from '../../src/kubernetes/client.ts';
import type { Kind, Pod } from '../../src/kubernetes/kinds.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { createPodIn } from '../support/pods.ts';
import { freePort } from '../support/ports.ts';
import { eventually, run } from '../support/programs.ts';

const skip = clusterRequirements({ breakable: true });
const main = join(import.meta.dirname, '../../src/main.ts');
const policiesKey = 'd4c-gate.io/policies';
const suffix = Date.now().toString(36);
const ownNamespace = `gate-${suffix}`;
const [enforced, untouched] = [`enforced-${suffix}`, `untouched-${suffix}`];

/** One directory of policies comes along, as with the chart. */
const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
after(() => folder.remove());
let cluster: TestCluster;
let gate: { child: ChildProcess; output: () => string };

before(
  async () => {
    if (skip !== undefined) return;
    cluster = await startCluster();
    gate = await startGate();
    for (const name of [enforced, untouched]) {
      const labels: Record<string, string> = name === enforced ? { 'd4c-gate.io/mode': 'enforce' } : {};
      await cluster.client.create('namespaces', { metadata: { name, labels } });
    }
  },
  { timeout: 120_000 },
);
after(async () => {
  gate?.child.kill('SIGKILL');
  await cluster?.close();
});

async function startGate(): Promise<typeof gate> {
  await writeFile(join(folder.path, 'from-a-file.yaml'), JSON.stringify(specFor('from-a-file')));
  const address = `127.0.0.1:${await freePort()}`;
  const child = spawn(
    process.execPath,
    [
      ...[main, 'serve', '--kubeconfig', cluster.kubeconfig, '--webhook-url', `https://${address}`],
      ...['--listen', address, '--install', '--namespace', ownNamespace, '--policies', folder.path],
      ...['--drain-ms', '0'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  const output = () => text;
  await eventually(
    'it listens',
    () => {
      assert.equal(child.exitCode, null, text);
      return text.includes(`listening on https://${address}`);
    },
    40_000,
  );
  return { child, output };
}

/** Applies to the pods of one namespace. */
function specFor(namespace: string, more: object = {}): object {
  const selector = { name: 'programs', operation: ['exec'], kubernetesNamespace: [namespace], ...more };
  return { process: { selectors: [selector], responses: [{ match: ['programs'], actions: ['log'] }] } };
}

const podOf = (name: string, namespace: string, annotations?: Record<string, string>): Pod => ({
  metadata: { name, namespace, ...(annotations && { annotations }) },
  spec: { containers: [{ name: 'c', image: 'localhost/none' }] },
});

const createPod = (pod: Pod): Promise<Pod> => createPodIn(cluster.client, pod);

let podNumber = 0;

/** Creates pods until one has these annotations: replicas hear of policies by a watch. */
async function eventuallyAnnotated(namespace: string, wanted: string, annotations?: Record<string, string>) {
  return eventually(
    `a new pod has the policies \`${wanted}\``,
    async () => {
      podNumber += 1;
      const pod = await createPod(podOf(`pod-${podNumber}`, namespace, annotations));
      return pod.metadata.annotations?.[policiesKey] === wanted ? pod : undefined;
    },
    15_000,
  );
}

const refusal = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => assert.fail('it was not refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KubernetesError, String(error));
  return error.message;
};

const createPolicy = (name: string, spec: unknown) =>
  cluster.client.create('containerpolicies', { metadata: { name }, spec });

test('a pod of an opted-in namespace comes back with the policies that apply to it', {
  skip,
  timeout: 60_000,
}, async () => {
  await createPolicy('from-the-cluster', specFor(enforced));
  await eventuallyAnnotated(enforced, 'from-the-cluster');
});

test('policies can ask for the cluster, whose ID is the UID of kube-system', {
  skip,
  timeout: 60_000,
}, async () => {
  const { uid = '' } = (await cluster.client.get('namespaces', { name: 'kube-system' })).metadata;
  await createPolicy('this-cluster', specFor(enforced, { kubernetesClusterId: [uid] }));
  await createPolicy('other-cluster', specFor(enforced, { kubernetesClusterId: ['other'] }));
  await eventuallyAnnotated(enforced, 'from-the-cluster,this-cluster');
  await cluster.client.delete('containerpolicies', { name: 'this-cluster' });
  await eventuallyAnnotated(enforced, 'from-the-cluster');
});

test('a forged annotation is overwritten when the pod is created', { skip, timeout: 60_000 }, async () => {
  await eventuallyAnnotated(enforced, 'from-the-cluster', { [policiesKey]: 'forged' });
});

test('a forged annotation does not outlive an update', { skip, timeout: 60_000 }, async () => {
  const name = 'to-be-forged';
  await createPod(podOf(name, enforced));
  const annotations = { [policiesKey]: 'forged', other: 'kept' };
  const patched = await cluster.client.mergePatch(
    'pods',
    { name, namespace: enforced },
    { metadata: { annotations } },
  );
  assert.equal(patched.metadata.annotations?.[policiesKey], 'from-the-cluster');
  assert.equal(patched.metadata.annotations?.other, 'kept');
});

test('a namespace that has not opted in is left alone', { skip, timeout: 60_000 }, async () => {
  await createPolicy('everywhere', specFor(untouched));
  const pod = await createPod(podOf('plain', untouched, { [policiesKey]: 'whatever' }));
  assert.equal(pod.metadata.annotations?.[policiesKey], 'whatever');
  await cluster.client.delete('containerpolicies', { name: 'everywhere' });
});

test('a policy with faults is refused with all of them, and so is one with an unknown key', {
  skip,
  timeout: 60_000,
}, async () => {
  const selector = { name: 'programs', operation: ['exec', 'created'], targetFilePaths: ['/etc/x'] };
  const responses = [{ match: ['program'], actions: ['log'] }];
  const spec = { process: { selectors: [selector], responses } };
  const message = await refusal(createPolicy('bad', spec));
  for (const [path, code] of [
    ['spec.process.selectors[0].operation[1]', 'POLICY_UNKNOWN_OPERATION'],
    ['spec.process.selectors[0].targetFilePaths', 'POLICY_UNKNOWN_KEY'],
    ['spec.process.responses[0].match[0]', 'POLICY_UNKNOWN_SELECTOR'],
  ] as const) {
    assert.ok(message.includes(`${path}: `) && message.includes(`(${code})`), `${path} in: ${message}`);
  }
  const manifest = { apiVersion: 'd4c-gate.io/v1alpha1', kind: 'ContainerPolicy', metadata: { name: 'odd' } };
  const { exitCode, stderr } = await cluster.kubectl(['create', '--validate=ignore', '-f', '-'], {
    stdin: JSON.stringify({ ...manifest, spec: specFor(enforced, { targetFilePaths: ['/etc/x'] }) }),
  });
  assert.notEqual(exitCode, 0);
  assert.match(stderr, /spec\.process\.selectors\[0\]\.targetFilePaths: .*\(POLICY_UNKNOWN_KEY\)/);
});

test('a bad edit is refused, and kubectl shows warnings of a good one', {
  skip,
  timeout: 60_000,
}, async () => {
  const name = 'from-the-cluster';
  const bad = cluster.client.mergePatch('containerpolicies', { name }, { spec: { process: { more: 1 } } });
  assert.match(await refusal(bad), /spec\.process\.more: .*\(POLICY_UNKNOWN_KEY\)/);
  const relabelled = await cluster.kubectl(['label', 'cpol', name, 'team=a']);
  assert.equal(relabelled.exitCode, 0, relabelled.stderr);
  const manifest = {
    apiVersion: 'd4c-gate.io/v1alpha1',
    kind: 'ContainerPolicy',
    metadata: { name: 'named' },
  };
  const spec = specFor('nowhere', { kubernetesClusterName: ['production'] });
  const { exitCode, stderr } = await cluster.kubectl(['create', '-f', '-'], {
    stdin: JSON.stringify({ ...manifest, spec }),
  });
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /^Warning: spec\.process\.selectors\[0\]\..*\(POLICY_CLUSTER_NAME_UNSET\)$/m);
});

test('the name of a policy from a file is refused to policies of the cluster', {
  skip,
  timeout: 60_000,
}, async () => {
  const message = await refusal(createPolicy('from-a-file', specFor(enforced)));
  assert.match(
    message,
    /metadata\.name: the policy ID `from-a-file` is already taken.*\(POLICY_ID_DUPLICATE\)/,
  );
});

test('a replica that starts again finds the certificate, and admits with the same policies', {
  skip,
  timeout: 60_000,
}, async () => {
  const ended = once(gate.child, 'exit');
  gate.child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null], gate.output());
  const started = performance.now();
  gate = await startGate();
  assert.ok(performance.now() - started < 8_000, 'it did not wait until a new authority is trusted');
  await eventuallyAnnotated(enforced, 'from-the-cluster');
});

test('SIGTERM ends it with 0, and uninstalling leaves nothing', { skip, timeout: 120_000 }, async () => {
  const ended = once(gate.child, 'exit');
  gate.child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null], gate.output());
  const { spec } = await cluster.client.get('leases', { name: 'd4c-gate', namespace: ownNamespace });
  assert.equal(spec?.holderIdentity, '');

  const { exitCode, stderr } = await run(
    process.execPath,
    [main, 'uninstall', '--kubeconfig', cluster.kubeconfig],
    { limitMs: 90_000 },
  );
  assert.equal(exitCode, 0, stderr);
  const kinds: Kind[] = [
    'mutatingwebhookconfigurations',
    'validatingwebhookconfigurations',
    'customresourcedefinitions',
    'namespaces',
    'leases',
    'secrets',
  ];
  for (const kind of kinds) {
    const names = (await cluster.client.list(kind)).map(({ metadata }) => metadata.name ?? '');
    assert.deepEqual(
      names.filter((name) => /d4c-gate|^gate-/.test(name)),
      [],
      kind,
    );
  }
  const pods = await cluster.client.list('pods', { namespace: enforced });
  assert.ok(pods.length > 0);
  assert.deepEqual(
    pods.filter(({ metadata }) => metadata.annotations?.[policiesKey] !== undefined),
    [],
  );
});
