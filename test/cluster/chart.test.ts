import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { rows, switches } from '../charts/values.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import {
  chart,
  type Helm,
  helmRequirements,
  helms,
  mergeValues,
  objectOf,
  type Rendered,
  releaseNamespace,
  render,
  type Values,
  valueAt,
  valuesAt,
} from '../support/helm.ts';
import { eventually, must } from '../support/programs.ts';

/** Of operators that no test cluster has. */
const foreign = /^(monitoring\.coreos\.com|cert-manager\.io)\//;

/** The two helms put kinds that they do not know at different places. */
const sorted = (objects: readonly Rendered[] = []) =>
  objects.toSorted((a, b) => (`${a.kind}/${a.metadata.name}` < `${b.kind}/${b.metadata.name}` ? -1 : 1));

/** Every value once with its own, and every combination of the switches. */
const matrix: readonly Values[] = [
  ...rows.map(({ path, value, with: more }) => mergeValues(more ?? {}, valuesAt(path, value))),
  ...switches.reduce<Values[]>(
    (sets, each) => sets.flatMap((set) => each.map((one) => mergeValues(set, one))),
    [{}],
  ),
  parse(readFileSync(join(chart, 'values-ha.yaml'), 'utf8')),
];

const ownKinds =
  'deployments,daemonsets,replicasets,pods,services,secrets,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,leases,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,customresourcedefinitions';

describe('the chart on a real API server', { skip: helmRequirements ?? clusterRequirements() }, () => {
  let cluster: TestCluster;
  before(async () => {
    cluster = await startCluster();
    await kubectl('create', 'namespace', releaseNamespace);
    // Pods are refused without theirs, also on a dry run.
    await kubectl('create', 'serviceaccount', 'd4c-gate-test', '-n', releaseNamespace);
  });
  after(() => cluster?.close());

  async function kubectl(...args: string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await cluster.kubectl(args, { limitMs: 120_000 });
    if (exitCode !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** What the API server says to objects that it need not keep; unknown fields are refused. */
  async function dryRun(objects: readonly unknown[]): Promise<{ accepted: number; stderr: string }> {
    const args = [
      'apply',
      '--server-side',
      '--force-conflicts',
      '--dry-run=server',
      '--validate=strict',
      '-o',
      'name',
      '-f',
      '-',
    ];
    const stdin = objects.map((object) => JSON.stringify(object)).join('\n');
    const { stdout, stderr } = await cluster.kubectl(args, { stdin, limitMs: 180_000 });
    return { accepted: stdout.trim().split('\n').length, stderr };
  }

  test('every object of the whole value matrix is accepted, with both helms alike', async (t) => {
    const seen = new Map<string, Rendered>();
    for (const values of matrix) {
      const [first, ...others] = await Promise.all(
        helms.map((helm) => render(helm, values, '--kube-version=1.34.0')),
      );
      for (const other of others) assert.deepEqual(sorted(other), sorted(first), JSON.stringify(values));
      for (const object of first ?? []) seen.set(JSON.stringify(object), object);
    }
    const all = [...seen.values()];
    const known = all.filter(({ apiVersion }) => !foreign.test(apiVersion));
    const { accepted, stderr } = await dryRun(known);
    assert.equal(stderr.replace(/^Warning: .*$/gm, '').trim(), '');
    assert.equal(accepted, known.length);
    t.diagnostic(`${matrix.length} sets of values, ${known.length} different objects accepted`);
    t.diagnostic(`not offered, since the cluster has no such kinds: ${all.length - known.length} objects`);
  });

  test("the webhook's pods pass Pod Security restricted, and the agent's fail for the documented reasons", async () => {
    const namespace = 'gate-restricted';
    await kubectl('create', 'namespace', namespace);
    await kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted');
    const [helm] = helms;
    assert.ok(helm !== undefined);
    const objects = await render(helm, { policies: { defaults: ['default'] } });
    const podOf = (kindAndName: string) => {
      const { metadata, spec } = valueAt(objectOf(objects, kindAndName), 'spec.template') as Rendered;
      const name = kindAndName.split('/')[1];
      return { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name, namespace }, spec };
    };
    for (const name of ['d4c-gate-webhook', 'd4c-gate-agent', 'd4c-gate-test']) {
      await kubectl('create', 'serviceaccount', name, '-n', namespace);
    }
    const testPod = objectOf(objects, 'Pod/d4c-gate-test');
    const restricted = await dryRun([
      podOf('Deployment/d4c-gate-webhook'),
      { ...testPod, metadata: { ...testPod.metadata, namespace } },
    ]);
    assert.deepEqual(restricted, { accepted: 2, stderr: '' });

    const { stderr } = await dryRun([podOf('DaemonSet/d4c-gate-agent')]);
    const reasons = [...stderr.matchAll(/(?:restricted:latest": |\), )([a-z][^(]*) \(/g)].map(
      ([, reason]) => reason,
    );
    const documented = readFileSync(join(chart, '../../docs/install.md'), 'utf8');
    assert.ok(reasons.length > 0, stderr);
    assert.deepEqual(
      reasons.filter((reason) => !documented.includes(`\`${reason}\``)),
      [],
      'reasons that docs/install.md does not explain',
    );
  });

  test('values-ha.yaml never puts two replicas on one node: with two nodes the third waits', {
    skip: clusterRequirements({ breakable: true }),
  }, async () => {
    const nodes = ['ha-1', 'ha-2'];
    for (const name of nodes) {
      const labels = { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' };
      await cluster.kubectl(['create', '-f', '-'], {
        stdin: JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } }),
      });
      const room = { cpu: '8', memory: '16Gi', pods: '50' };
      const status = JSON.stringify({ status: { capacity: room, allocatable: room } });
      await kubectl('patch', 'node', name, '--subresource=status', '--type=merge', '-p', status);
    }
    const [helm] = helms;
    assert.ok(helm !== undefined);
    const ha: Values = parse(readFileSync(join(chart, 'values-ha.yaml'), 'utf8'));
    // No kubelet says that these nodes are ready.
    const objects = await render(
      helm,
      mergeValues(ha, { webhook: { tolerations: [{ operator: 'Exists' }] } }),
    );
    const own = ['ServiceAccount/d4c-gate-webhook', 'Deployment/d4c-gate-webhook'];
    const stdin = own.map((name) => JSON.stringify(objectOf(objects, name))).join('\n');
    const selector = ['-n', releaseNamespace, '-l', 'app.kubernetes.io/component=webhook'];
    try {
      assert.equal((await cluster.kubectl(['create', '-f', '-'], { stdin })).exitCode, 0);
      const placed = await eventually(
        'the scheduler has decided about each replica',
        async () => {
          const { items } = JSON.parse(await kubectl('get', 'pods', ...selector, '-o', 'json')) as {
            items: { spec: { nodeName?: string }; status: { conditions?: { reason?: string }[] } }[];
          };
          const decided = items.map(
            ({ spec, status }) =>
              spec.nodeName ?? status.conditions?.find(({ reason }) => reason === 'Unschedulable')?.reason,
          );
          return decided.length === 3 && !decided.includes(undefined) ? decided : undefined;
        },
        30_000,
      );
      assert.deepEqual(placed.toSorted(), ['Unschedulable', ...nodes]);
    } finally {
      await kubectl('delete', 'deployment,serviceaccount', 'd4c-gate-webhook', '-n', releaseNamespace);
      await kubectl('delete', 'pods', ...selector, '--force', '--grace-period=0', '--wait=false');
      await kubectl('delete', 'node', ...nodes);
    }
  });

  test('the controller can mend a pod while nobody answers, and nobody else can write to it with failurePolicy Fail', async () => {
    const namespace = 'gate-mended';
    await kubectl('create', 'namespace', namespace);
    await kubectl('label', 'namespace', namespace, 'd4c-gate.io/mode=enforce');
    await kubectl('create', 'serviceaccount', 'default', '-n', namespace).catch(() => undefined);
    await kubectl('run', 'p', '-n', namespace, '--image=none', '--restart=Never');
    const [helm] = helms;
    assert.ok(helm !== undefined);
    const objects = await render(helm, { webhook: { failurePolicy: 'Fail' } });
    const kinds = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'];
    const stdin = kinds.map((kind) => JSON.stringify(objectOf(objects, `${kind}/d4c-gate`))).join('\n');
    try {
      assert.equal((await cluster.kubectl(['create', '-f', '-'], { stdin })).exitCode, 0);
      const write = (value: string, ...as: string[]) =>
        cluster.kubectl([
          'annotate',
          'pod',
          'p',
          '-n',
          namespace,
          '--overwrite',
          `d4c-gate.io/policies=${value}`,
          ...as,
        ]);
      const account = (name: string) => [
        `--as=system:serviceaccount:${releaseNamespace}:${name}`,
        '--as-group=system:masters',
      ];
      await eventually('the API server asks', async () => (await write(`x${Date.now()}`)).exitCode !== 0);
      for (const as of [[], account('d4c-gate-agent'), account('default')]) {
        assert.match((await write('forged', ...as)).stderr, /failed calling webhook "mutate\.d4c-gate\.io"/);
      }
      const mended = await write('right', ...account('d4c-gate-webhook'));
      assert.equal(mended.exitCode, 0, mended.stderr);
    } finally {
      await kubectl('delete', 'mutatingwebhookconfiguration,validatingwebhookconfiguration', 'd4c-gate');
      await kubectl('delete', 'namespace', namespace, '--wait=false');
    }
  });

  for (const helm of helms) {
    test(`helm ${helm.version}: installs, upgrades without touching what the controller wrote, rolls back, and leaves nothing`, async () => {
      await life(helm);
    });
  }

  async function life(helm: Helm): Promise<void> {
    const namespace = `life-${helm.version.replace(/[^0-9]/g, '-').replace(/^-/, '')}`;
    const run = (...args: string[]) =>
      must(helm.program, [...args, '--kubeconfig', cluster.kubeconfig, '--namespace', namespace], {
        limitMs: 120_000,
      });
    const secretData = () =>
      kubectl('get', 'secret', 'd4c-gate-webhook-tls', '-n', namespace, '-o', 'jsonpath={.data.tls\\.crt}');
    const bundles = () =>
      kubectl(
        'get',
        'validatingwebhookconfiguration',
        'd4c-gate',
        '-o',
        'jsonpath={.webhooks[*].clientConfig.caBundle}',
      );
    const replicas = () =>
      kubectl('get', 'deployment', 'd4c-gate-webhook', '-n', namespace, '-o', 'jsonpath={.spec.replicas}');

    await run('install', 'gate', chart, '--create-namespace');
    assert.match(
      await kubectl('get', 'crd', 'containerpolicies.d4c-gate.io', '-o', 'name'),
      /containerpolicies/,
    );
    // As the controller does: server-side apply for the Secret, a JSON patch for the bundles.
    const bundle = await kubectl('get', 'configmap', 'kube-root-ca.crt', '-o', 'jsonpath={.data.ca\\.crt}');
    const encoded = Buffer.from(bundle).toString('base64');
    const secret = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'd4c-gate-webhook-tls', namespace },
      data: { 'tls.crt': encoded },
    };
    const applied = await cluster.kubectl(
      ['apply', '--server-side', '--field-manager=d4c-gate-certificates', '-f', '-'],
      { stdin: JSON.stringify(secret) },
    );
    assert.equal(applied.exitCode, 0, applied.stderr);
    const names = 'jsonpath={.webhooks[*].name}';
    const hooks = (await kubectl('get', 'validatingwebhookconfiguration', 'd4c-gate', '-o', names)).split(
      ' ',
    );
    const patch = hooks.map((_name, index) => ({
      op: 'add',
      path: `/webhooks/${index}/clientConfig/caBundle`,
      value: encoded,
    }));
    await kubectl(
      'patch',
      'validatingwebhookconfiguration',
      'd4c-gate',
      '--type=json',
      '--field-manager=d4c-gate-certificates',
      '-p',
      JSON.stringify(patch),
    );
    const kept = async (when: string) => {
      assert.equal(await secretData(), encoded, `the Secret's data ${when}`);
      assert.deepEqual(
        (await bundles()).split(' '),
        hooks.map(() => encoded),
        `caBundle ${when}`,
      );
    };

    await run('upgrade', 'gate', chart, '--set', 'webhook.replicas=3', '--set', 'webhook.timeoutSeconds=7');
    assert.equal(await replicas(), '3');
    await kept('after an upgrade');
    await run('rollback', 'gate', '1');
    assert.equal(await replicas(), '2');
    await kept('after a rollback');

    await run('uninstall', 'gate', '--wait');
    await kubectl('delete', 'namespace', namespace, '--wait=false');
    const left = await kubectl('get', ownKinds, '-A', '-l', 'app.kubernetes.io/name=d4c-gate', '-o', 'name');
    const running = left.split('\n').filter((name) => name !== '' && !name.startsWith('pod/'));
    assert.deepEqual(running, []);
    const policies = await cluster.kubectl(['get', 'containerpolicies']);
    assert.notEqual(policies.exitCode, 0, 'the API server still serves policies');
  }
});
