import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Pod } from '../../src/kubernetes/kinds.ts';
import { type ApiProxy, type Misbehaviour, startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { createPodIn } from '../support/pods.ts';
import { eventually, type Ran } from '../support/programs.ts';
import { type Served, serveCluster } from '../support/serveCluster.ts';
import { type SidecarWebhook, serveSidecars } from '../support/sidecarWebhook.ts';

/* The hooks as installed, on a real API server. There is no kubelet: pods stay pending, and a session that is let through
 * ends at the API server's own `does not have a host assigned`. */

const skip = clusterRequirements({ breakable: true });
const options = { skip, timeout: 60_000 };
const policiesKey = 'd4c-gate.io/policies';
const image = 'd4c.test/busybox:1';
const own = 'gate-system';
const [shop, lab] = ['shop', 'lab'];

let cluster: TestCluster;
/** Between the webhook and the API server. */
let proxy: ApiProxy | undefined;
let gate: Served | undefined;
let sidecars: SidecarWebhook | undefined;

before(
  async () => {
    if (skip !== undefined) return;
    cluster = await startCluster();
    proxy = await startApiProxy(cluster.kubeconfig);
    gate = await serveCluster({ ...cluster, kubeconfig: proxy.kubeconfig }, own);
    await cluster.client.create('namespaces', {
      metadata: { name: shop, labels: { 'd4c-gate.io/mode': 'enforce' } },
    });
    await cluster.client.create('namespaces', {
      metadata: { name: lab, labels: { 'd4c-gate.io/mode': 'observe' } },
    });
    const shells = { operation: ['exec'], sessionLeaderInteractive: true, containerImageName: ['busybox'] };
    await createPolicy('no-shells', shells, ['alert', 'block']);
    await createPolicy('programs', { operation: ['exec'], kubernetesNamespace: [shop, lab] }, ['log']);
    await createPolicy('with-sidecar', { operation: ['exec'], containerImageName: ['sidecar'] }, ['log']);
    await createPolicy('by-name', { operation: ['exec'], kubernetesPodName: ['web-*', 'db-0'] }, ['log']);
    await eventually(
      'policies are known',
      async () => {
        const { metadata } = await createPod(podOf('db-0', shop), true);
        return metadata.annotations?.[policiesKey] === 'by-name,no-shells,programs';
      },
      15_000,
    );
  },
  { timeout: 120_000 },
);
after(async () => {
  await sidecars?.close();
  await gate?.close();
  await proxy?.close();
  await cluster?.close();
});

async function createPolicy(name: string, selector: object, actions: string[]): Promise<void> {
  const process = {
    selectors: [{ name: 'selected', ...selector }],
    responses: [{ match: ['selected'], actions }],
  };
  await cluster.client.create('containerpolicies', { metadata: { name }, spec: { process } });
}

const podOf = (name: string, namespace: string, metadata: object = {}, spec: object = {}): Pod => ({
  metadata: { name, namespace, ...metadata },
  spec: { containers: [{ name: 'main', image }], ...spec },
});

const createPod = (pod: Pod, dryRun = false): Promise<Pod> => createPodIn(cluster.client, pod, { dryRun });

async function kubectl(args: readonly string[], stdin?: object): Promise<string> {
  const ran = await cluster.kubectl(args, stdin === undefined ? {} : { stdin: JSON.stringify(stdin) });
  assert.equal(ran.exitCode, 0, `kubectl ${args.join(' ')}: ${ran.stderr}`);
  return ran.stdout + ran.stderr;
}

/** Warnings of a request that succeeds. */
const warningsOf = async (args: readonly string[], stdin?: object): Promise<string[]> =>
  (await kubectl(args, stdin))
    .split('\n')
    .filter((line) => line.startsWith('Warning: '))
    .map((line) => line.slice('Warning: '.length));

const annotationOf = async (name: string, namespace: string): Promise<string | undefined> =>
  (await cluster.client.get('pods', { name, namespace })).metadata.annotations?.[policiesKey];

const podsOf = (namespace: string, labelSelector: string): Promise<Pod[]> =>
  cluster.client.list('pods', { namespace, labelSelector });

function session(kind: 'exec' | 'attach', namespace: string, pod: string, query: string): Promise<Ran> {
  const path = `/api/v1/namespaces/${namespace}/pods/${pod}/${kind}?stdout=true&${query}`;
  return cluster.kubectl(['create', '--raw', path, '-f', '-'], { stdin: '{}' });
}

const denied =
  /denied the request: policy `no-shells` refuses interactive sessions in container `main` of pod/;
const letThrough = /does not have a host assigned/;

test(
  'an interactive session that a policy blocks is refused with policy and selector, others are not',
  options,
  async () => {
    const side = { name: 'side', image: 'd4c.test/proxy:1' };
    await createPod(podOf('plain', shop, {}, { containers: [{ name: 'main', image }, side] }));
    const terminal = 'stdin=true&tty=true&command=sh';
    const refused = await session('exec', shop, 'plain', `${terminal}&container=main`);
    assert.match(refused.stderr, denied);
    assert.match(refused.stderr, /selector `selected` of `process\.responses\[0\]`/);
    assert.match(
      (await session('attach', shop, 'plain', 'stdin=true&tty=true&container=main')).stderr,
      denied,
    );
    assert.match((await session('exec', shop, 'plain', `${terminal}&container=side`)).stderr, letThrough);
    assert.match((await session('exec', shop, 'plain', 'command=ls&container=main')).stderr, letThrough);
    const missing = await session('exec', shop, 'no-such-pod', terminal);
    assert.match(missing.stderr, /not found/);
  },
);

test(
  'in a namespace in mode observe the same session begins, and the audit log says so',
  options,
  async () => {
    await createPod(podOf('plain', lab));
    assert.match((await session('exec', lab, 'plain', 'tty=true&command=sh')).stderr, letThrough);
    const log = join(dirname(cluster.kubeconfig), 'log/audit.log');
    const annotations = await eventually('the audit log has both sessions', async () => {
      const events = (await readFile(log, 'utf8'))
        .split('\n')
        .filter(
          (line) => line.includes('"subresource":"exec"') && line.includes('"stage":"ResponseComplete"'),
        )
        .map((line) => JSON.parse(line) as { objectRef: { namespace: string }; annotations?: object });
      const of = (namespace: string) =>
        events
          .filter(({ objectRef }) => objectRef.namespace === namespace)
          .map((event) => event.annotations as Record<string, string>);
      return of(lab).length > 0 && [of(shop)[0] ?? {}, of(lab)[0] ?? {}];
    });
    const [inShop, inLab] = annotations;
    const prefix = 'validate.d4c-gate.io';
    for (const one of annotations) {
      assert.equal(one[`${prefix}/session`], 'refused');
      assert.equal(one[`${prefix}/policy`], 'no-shells');
    }
    assert.match(inShop?.[`${prefix}/refused`] ?? '', /no-shells/);
    assert.match(inLab?.[`${prefix}/observed`] ?? '', /no-shells/);
    assert.equal(inLab?.[`${prefix}/mode`], 'observe');
    for (const [namespace, reason] of [
      [shop, 'ExecDenied'],
      [lab, 'ExecObserved'],
    ] as const) {
      const pod = await cluster.client.get('pods', { name: 'plain', namespace });
      await eventually(`an Event ${reason} in ${namespace} that \`kubectl describe pod\` finds`, async () =>
        (await cluster.client.list('events', { namespace })).some(
          (event) => event.reason === reason && event.regarding?.uid === pod.metadata.uid,
        ),
      );
    }
  },
);

test(
  'a namespace that opts in is told what will be covered, and opts out only when it is confirmed',
  options,
  async () => {
    const name = 'orders';
    const exec = { operation: ['exec'], kubernetesNamespace: [name] };
    await cluster.client.create('namespaces', { metadata: { name } });
    await createPolicy('orders-only', exec, ['log']);
    await createPod(podOf('a', name));
    const label = (mode: string, ...more: string[]) => [
      'label',
      'namespace',
      name,
      `d4c-gate.io/mode${mode}`,
      ...more,
    ];
    const inTold = await eventually('the policy is known', async () => {
      const warnings = await warningsOf(label('=enforce', '--dry-run=server'));
      return warnings.some((line) => line.includes('orders-only')) && warnings;
    });
    assert.match(inTold.join('\n'), /1 of 1 pods are covered/);
    await kubectl(label('=enforce'));
    assert.match((await warningsOf(label('=observe', '--overwrite'))).join(), /nothing is refused any more/);
    await eventually(
      'the pod is annotated',
      async () => (await annotationOf('a', name)) !== undefined,
      15_000,
    );

    const out = await cluster.kubectl(label('-'));
    assert.notEqual(out.exitCode, 0);
    assert.match(
      out.stderr,
      /denied the request: .*kubectl annotate namespace orders d4c-gate\.io\/confirm-opt-out=true/,
    );
    await kubectl(['annotate', 'namespace', name, 'd4c-gate.io/confirm-opt-out=true']);
    assert.match((await warningsOf(label('-'))).join(), /annotations of d4c-gate are taken off/);
    await eventually(
      'the annotations are off',
      async () => (await annotationOf('a', name)) === undefined,
      20_000,
    );
  },
);

test('deleting a namespace is never refused', options, async () => {
  const name = 'short-lived';
  const labels = { 'd4c-gate.io/mode': 'enforce' };
  await cluster.client.create('namespaces', { metadata: { name, labels } });
  await createPod(podOf('a', name));
  await kubectl(['delete', 'namespace', name, '--timeout=40s']);
});

test('kube-system and the own namespace are not touched, also when they are labelled', options, async () => {
  for (const name of ['kube-system', own]) {
    const warnings = await warningsOf(['label', 'namespace', name, 'd4c-gate.io/mode=enforce']);
    assert.match(warnings.join(), /never touches namespace .*no effect/);
    const { metadata } = await createPod(podOf('forged', name, { annotations: { [policiesKey]: 'x' } }));
    assert.equal(metadata.annotations?.[policiesKey], 'x');
    await kubectl(['label', 'namespace', name, 'd4c-gate.io/mode-']);
    await cluster.client.delete('pods', { name: 'forged', namespace: name });
  }
});

const template = (app: string) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'main', image }] },
});

test(
  'authors of workloads are told which policies their pods will have, and nothing when they scale',
  options,
  async () => {
    const told = await warningsOf(['create', 'deployment', 'web', `--image=${image}`, '-n', shop]);
    assert.deepEqual(told, [
      'd4c-gate: policies that will apply to the pods of this Deployment: `by-name`, `no-shells`, `programs`',
    ]);
    assert.deepEqual(await warningsOf(['scale', 'deployment', 'web', '--replicas=2', '-n', shop]), []);
    const spec = { selector: { matchLabels: { app: 'db' } }, serviceName: 'db', template: template('db') };
    const set = {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'db', namespace: shop },
      spec,
    };
    assert.deepEqual(await warningsOf(['create', '-f', '-'], set), [
      'd4c-gate: policies that will apply to the pods of this StatefulSet: `no-shells`, `programs`',
      "d4c-gate: policies that may apply to the pods of this StatefulSet, depending on the pod's name or labels or the cluster's name: `by-name`",
    ]);
    const cron = ['create', 'cronjob', 'cj', `--image=${image}`, '--schedule=0 0 1 1 *', '-n', lab];
    assert.match((await warningsOf(cron)).join(), /of this CronJob: .*only report.*observe/);
  },
);

test('pods of every kind of controller are made and annotated', options, async () => {
  await cluster.kubectl(['create', '-f', '-'], {
    stdin: JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } }),
  });
  const apps = (kind: string, app: string, more: object = {}) => ({
    apiVersion: 'apps/v1',
    kind,
    metadata: { name: app, namespace: shop },
    spec: { selector: { matchLabels: { app } }, template: template(app), ...more },
  });
  await kubectl(['create', '-f', '-'], apps('ReplicaSet', 'rs', { replicas: 3 }));
  await kubectl(['create', '-f', '-'], apps('DaemonSet', 'ds'));
  await kubectl(['create', 'job', 'j', `--image=${image}`, '-n', shop, '--', 'true']);
  const wanted: [selector: string, count: number, policies: string][] = [
    ['app=web', 2, 'by-name,no-shells,programs'],
    ['app=db', 1, 'by-name,no-shells,programs'],
    ['app=rs', 3, 'no-shells,programs'],
    ['app=ds', 1, 'no-shells,programs'],
    ['job-name=j', 1, 'no-shells,programs'],
  ];
  for (const [selector, count, policies] of wanted) {
    const pods = await eventually(
      `${count} pods of ${selector}`,
      async () => {
        const found = await podsOf(shop, selector);
        return found.length === count && found;
      },
      30_000,
    );
    for (const { metadata } of pods) assert.equal(metadata.annotations?.[policiesKey], policies, selector);
  }
  await cluster.kubectl(['delete', 'node', 'node-1', '--wait=false']);
});

test('an UPDATE of labels, image and annotations arrives at what the policies give', options, async () => {
  await createPod(podOf('edited', shop));
  await kubectl(['set', 'image', 'pod/edited', 'main=d4c.test/sidecar:1', '-n', shop]);
  assert.equal(await annotationOf('edited', shop), 'programs,with-sidecar');
  await kubectl(['annotate', '--overwrite', 'pod', 'edited', `${policiesKey}=`, '-n', shop]);
  await kubectl(['annotate', 'pod', 'edited', `${policiesKey}-`, '-n', shop]);
  assert.equal(await annotationOf('edited', shop), 'programs,with-sidecar');
});

test(
  'an ephemeral container and a resize are let through, and the controller brings the annotations after',
  options,
  async () => {
    const resources = { requests: { cpu: '100m' }, limits: { cpu: '200m' } };
    await createPod(podOf('grown', shop, {}, { containers: [{ name: 'main', image, resources }] }));
    const more = { containers: [{ name: 'main', resources: { requests: { cpu: '150m' } } }] };
    await kubectl([
      'patch',
      'pod',
      'grown',
      '-n',
      shop,
      '--subresource=resize',
      '-p',
      JSON.stringify({ spec: more }),
    ]);
    const ephemeralContainers = [{ name: 'debug', image: 'd4c.test/sidecar:1' }];
    const path = `/api/v1/namespaces/${shop}/pods/grown/ephemeralcontainers`;
    const pod = JSON.parse(await kubectl(['get', '--raw', path])) as Pod;
    await kubectl(['replace', '--raw', path, '-f', '-'], {
      ...pod,
      spec: { ...pod.spec, ephemeralContainers },
    });
    await eventually(
      'the annotations are mended',
      async () => (await annotationOf('grown', shop)) === 'no-shells,programs,with-sidecar',
      15_000,
    );
  },
);

test('a mirror pod is left as the kubelet wrote it', options, async () => {
  const annotations = { 'kubernetes.io/config.mirror': 'x' };
  const spec = { nodeName: 'node-2', automountServiceAccountToken: false };
  const { metadata } = await createPod(podOf('mirror', shop, { annotations }, spec));
  assert.deepEqual(metadata.annotations, annotations);
});

test('a container that another webhook adds afterwards counts', options, async () => {
  sidecars = await serveSidecars(cluster, 'sidecar=yes', 'd4c.test/sidecar:1');
  const labels = { sidecar: 'yes' };
  const pod = await eventually(
    'the other webhook is asked',
    async () => {
      const made = await createPod(podOf('joined', shop, { labels }), true);
      return (made.spec?.containers ?? []).length === 2 && made;
    },
    15_000,
  );
  assert.equal(pod.metadata.annotations?.[policiesKey], 'no-shells,programs,with-sidecar');
});

/** While `during` runs, the webhook's requests for pods of `namespace` get this. */
async function withPods(namespace: string, answer: Misbehaviour, during: () => Promise<void>): Promise<void> {
  assert.ok(proxy !== undefined);
  proxy.misbehave = ({ method, url, watch }) =>
    method === 'GET' && !watch && url.pathname.startsWith(`/api/v1/namespaces/${namespace}/pods`)
      ? answer
      : undefined;
  try {
    await during();
  } finally {
    proxy.misbehave = () => undefined;
  }
}

test(
  'a pod that cannot be read is a matter of `failurePolicy`, and of nothing in mode observe',
  options,
  async () => {
    const terminal = 'tty=true&command=sh';
    for (const answer of ['hang', { status: 403, body: '{}' }] as const) {
      await withPods(shop, answer, async () => {
        const failed = await session('exec', shop, 'plain', terminal);
        assert.match(failed.stderr, /failed calling webhook "validate\.d4c-gate\.io"/);
        assert.match((await session('exec', shop, 'plain', 'command=sh&container=main')).stderr, letThrough);
      });
      await withPods(lab, answer, async () => {
        assert.match((await session('exec', lab, 'plain', terminal)).stderr, letThrough);
      });
    }
  },
);

test('a namespace whose pods cannot be listed opts out only when it is confirmed', options, async () => {
  const name = 'unlisted';
  const labels = { 'd4c-gate.io/mode': 'observe' };
  await cluster.client.create('namespaces', { metadata: { name, labels } });
  const out = ['label', 'namespace', name, 'd4c-gate.io/mode-', '--dry-run=server'];
  await withPods(name, 'hang', async () => {
    const refused = await cluster.kubectl(out);
    assert.match(refused.stderr, /not every pod was looked at .*confirm-opt-out=true/);
  });
  await kubectl(out);
});
