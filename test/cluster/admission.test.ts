import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

/*
 * The webhook against a real API server, with `failurePolicy: Fail`, so that whatever it gets wrong is seen: honest
 * requests fail, or pods come without annotations. There is no kubelet: pods stay pending.
 */

const skip = clusterRequirements({ breakable: true });
const options = { skip, timeout: 120_000 };
const main = join(import.meta.dirname, '../../src/main.ts');
const namespace = 'team-b';
let cluster: TestCluster;
let folder = '';
let child: ChildProcess | undefined;

const policy = (condition: string): string => `
process:
  selectors:
    - name: programs
      operation: [exec]
      ${condition}
  responses:
    - match: [programs]
      actions: [log]
`;
const write = (id: string, condition: string): Promise<void> =>
  writeFile(join(folder, 'policies', `${id}.yaml`), policy(condition));

before(async () => {
  if (skip !== undefined) return;
  cluster = await startCluster();
  folder = await mkdtemp(join(tmpdir(), 'd4c-gate-'));
  const policies = join(folder, 'policies');
  await mkdir(policies);
  await write('every-pod', `kubernetesNamespace: [${namespace}]`);
  await write('labelled', 'kubernetesPodLabel: ["tier:x"]');
  await write('some-replicas', 'kubernetesPodName: ["web-*"]');
  const port = await serve(policies);
  await kubectl(['create', 'namespace', namespace]);
  const ca = await readFile(join(folder, 'certs/ca.crt'));
  const webhook = (path: string, resources: string[]) => ({
    name: `${path}.d4c-gate.test`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Fail',
    timeoutSeconds: 5,
    clientConfig: { url: `https://127.0.0.1:${port}/${path}`, caBundle: ca.toString('base64') },
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], resources, operations: ['CREATE', 'UPDATE', 'CONNECT'] }],
  });
  const all = ['pods', 'pods/ephemeralcontainers', 'pods/resize', 'pods/exec', 'pods/attach'];
  const apiVersion = 'admissionregistration.k8s.io/v1';
  const metadata = { name: 'd4c-gate-test' };
  await create({
    apiVersion,
    kind: 'MutatingWebhookConfiguration',
    metadata,
    webhooks: [{ ...webhook('mutate', ['pods']), reinvocationPolicy: 'IfNeeded' }],
  });
  await create({
    apiVersion,
    kind: 'ValidatingWebhookConfiguration',
    metadata,
    webhooks: [webhook('validate', all)],
  });
});

after(async () => {
  child?.kill('SIGKILL');
  await cluster?.close();
  if (folder !== '') await rm(folder, { recursive: true });
});

/** Runs the webhook and gives its port. */
async function serve(policies: string): Promise<number> {
  const flags = [
    '--policies',
    policies,
    '--listen',
    '127.0.0.1:0',
    '--dev-certs',
    '--certs-dir',
    join(folder, 'certs'),
  ];
  child = spawn(process.execPath, [main, 'serve', ...flags], { stdio: ['ignore', 'pipe', 'ignore'] });
  assert.ok(child.stdout);
  for await (const line of createInterface(child.stdout)) {
    const port = /^listening on .*:(\d+)$/.exec(line)?.[1];
    if (port !== undefined) return Number(port);
  }
  throw new Error('the webhook did not start');
}

async function kubectl(args: readonly string[], stdin?: string): Promise<string> {
  const { stdout, stderr, exitCode } = await cluster.kubectl(args, stdin === undefined ? {} : { stdin });
  assert.equal(exitCode, 0, `kubectl ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const create = (manifest: object): Promise<string> =>
  kubectl(['create', '-f', '-'], JSON.stringify(manifest));

const inNamespace = ['-n', namespace];

async function annotationsOf(pod: string): Promise<Record<string, string>> {
  const { metadata } = JSON.parse(await kubectl(['get', 'pod', pod, ...inNamespace, '-o', 'json']));
  return metadata.annotations ?? {};
}

const podNamed = (name: string, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, ...metadata },
  spec: { containers: [{ name: 'main', image: 'd4c.test/busybox:1' }] },
});

test(
  'a bare pod is annotated, on a dry run as well, and a forged annotation is overwritten',
  options,
  async () => {
    await create(podNamed('bare', { annotations: { 'd4c-gate.io/policies': 'forged', kept: 'yes' } }));
    assert.deepEqual(await annotationsOf('bare'), { 'd4c-gate.io/policies': 'every-pod', kept: 'yes' });
    const dry = ['create', '--dry-run=server', '-o', 'json', '-f', '-'];
    const { metadata } = JSON.parse(await kubectl(dry, JSON.stringify(podNamed('dry'))));
    assert.deepEqual(metadata.annotations, { 'd4c-gate.io/policies': 'every-pod' });
  },
);

test(
  'pods of a Deployment are made and annotated, before and after a policy waits for their names',
  options,
  async () => {
    await kubectl([
      'create',
      'deployment',
      'web',
      '--image=d4c.test/busybox:1',
      '--replicas=2',
      ...inNamespace,
    ]);
    const list = ['get', 'pods', '-l', 'app=web', ...inNamespace, '-o', 'json'];
    const pods = await eventually(
      'two pods of the Deployment',
      async () => {
        const { items } = JSON.parse(await kubectl(list));
        return items.length === 2 && items;
      },
      30_000,
    );
    for (const { metadata } of pods) {
      assert.equal(metadata.annotations['d4c-gate.io/policies'], 'every-pod,some-replicas');
    }
    await write('by-suffix', 'kubernetesPodName: ["web-*", "rs-b*", "rs-c*", "rs-d*"]');
    await eventually('the new policy', async () => {
      const dry = ['create', '--dry-run=server', '-o', 'json', '-f', '-'];
      const { metadata } = JSON.parse(await kubectl(dry, JSON.stringify(podNamed('web-x'))));
      return metadata.annotations['d4c-gate.io/policies'] === 'by-suffix,every-pod,some-replicas';
    });
    const template = {
      metadata: { labels: { app: 'rs' } },
      spec: { containers: [{ name: 'main', image: 'd4c.test/busybox:1' }] },
    };
    const spec = { replicas: 12, selector: { matchLabels: { app: 'rs' } }, template };
    await create({ apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: { name: 'rs', namespace }, spec });
    await eventually(
      'every pod of the ReplicaSet, none refused for its name',
      async () => {
        const { items } = JSON.parse(
          await kubectl(['get', 'pods', '-l', 'app=rs', ...inNamespace, '-o', 'json']),
        );
        return items.length === 12;
      },
      30_000,
    );
  },
);

test(
  'a changed label brings other policies, and nobody can forge, change or remove an annotation',
  options,
  async () => {
    await create(podNamed('changed'));
    await kubectl(['label', 'pod', 'changed', 'tier=x', ...inNamespace]);
    const right = { 'd4c-gate.io/policies': 'every-pod,labelled' };
    assert.deepEqual(await annotationsOf('changed'), right);
    for (const change of [
      'd4c-gate.io/policies=forged',
      'd4c-gate.io/policies-',
      'd4c-gate.io/policies-undecided=x',
    ]) {
      await kubectl(['annotate', '--overwrite', 'pod', 'changed', change, ...inNamespace]);
      assert.deepEqual(await annotationsOf('changed'), right, change);
    }
  },
);

test(
  'where the mutating call is skipped, a forged annotation is refused with what was found and what is right',
  options,
  async () => {
    const patch = (selector: object) =>
      kubectl([
        'patch',
        'mutatingwebhookconfiguration',
        'd4c-gate-test',
        '--type=json',
        '-p',
        JSON.stringify([{ op: 'replace', path: '/webhooks/0/objectSelector', value: selector }]),
      ]);
    await create(podNamed('skipped', { labels: { skipped: 'yes' } }));
    await patch({ matchExpressions: [{ key: 'skipped', operator: 'DoesNotExist' }] });
    const change = [
      'annotate',
      '--overwrite',
      'pod',
      'skipped',
      'd4c-gate.io/policies=forged',
      ...inNamespace,
    ];
    const refusal = await eventually('the refusal', async () => {
      const { stderr, exitCode } = await cluster.kubectl(change);
      return exitCode !== 0 && stderr;
    });
    assert.match(
      refusal,
      /denied the request: annotation `d4c-gate\.io\/policies` is `forged`, but the policies give `every-pod`/,
    );
    // An honest change of something else passes.
    await kubectl(['annotate', 'pod', 'skipped', 'note=x', ...inNamespace]);
    await patch({});
  },
);

test(
  'a pod annotated by policies of long ago takes an ephemeral container, loses its finalizer and goes',
  options,
  async () => {
    await create(podNamed('old', { finalizers: ['d4c-gate.test/wait'] }));
    await write('later', `kubernetesNamespace: [${namespace}]`);
    await eventually('the new policy', async () => {
      const dry = ['create', '--dry-run=server', '-o', 'json', '-f', '-'];
      const { metadata } = JSON.parse(await kubectl(dry, JSON.stringify(podNamed('dry'))));
      return metadata.annotations['d4c-gate.io/policies'] === 'every-pod,later';
    });
    assert.equal((await annotationsOf('old'))['d4c-gate.io/policies'], 'every-pod');
    const ephemeralContainers = [{ name: 'debug', image: 'd4c.test/busybox:1' }];
    const path = `/api/v1/namespaces/${namespace}/pods/old/ephemeralcontainers`;
    const old = JSON.parse(await kubectl(['get', '--raw', path]));
    old.spec.ephemeralContainers = ephemeralContainers;
    await kubectl(['replace', '--raw', path, '-f', '-'], JSON.stringify(old));

    await kubectl(['delete', 'pod', 'old', '--wait=false', '--grace-period=0', '--force', ...inNamespace]);
    const finalizers = JSON.stringify({ metadata: { finalizers: null } });
    await kubectl(['patch', 'pod', 'old', '--type=merge', '-p', finalizers, ...inNamespace]);
    await eventually('the pod is gone', async () => {
      const { exitCode } = await cluster.kubectl(['get', 'pod', 'old', ...inNamespace]);
      return exitCode !== 0;
    });
  },
);
