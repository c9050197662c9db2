import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasStatus } from '../../src/kubernetes/client.ts';
import type { ContainerPolicy, Pod } from '../../src/kubernetes/kinds.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { type ClusterGate, startClusterGate } from '../support/clusterGate.ts';
import { createPodIn } from '../support/pods.ts';
import { eventually } from '../support/programs.ts';
import { installReports } from '../support/reports.ts';

const skip = clusterRequirements({ breakable: true });
const options = { skip, timeout: 60_000 };
const policiesKey = 'd4c-gate.io/policies';
/** What the controller promises. */
const mendedMs = 10_000;
const suffix = Date.now().toString(36);
const ownNamespace = `gate-${suffix}`;
const [enforced, later] = [`enforced-${suffix}`, `later-${suffix}`];

let cluster: TestCluster;
let gate: ClusterGate;

before(
  async () => {
    if (skip !== undefined) return;
    cluster = await startCluster();
    await installReports(cluster.client);
    gate = await startGate();
    await cluster.client.create('namespaces', {
      metadata: { name: enforced, labels: { 'd4c-gate.io/mode': 'enforce' } },
    });
    await cluster.client.create('namespaces', { metadata: { name: later } });
  },
  { timeout: 120_000 },
);
after(async () => {
  await gate?.stop();
  await cluster?.close();
});

const startGate = (address?: string) =>
  startClusterGate(cluster, {
    policies: { 'from-a-file': specFor({}) },
    namespace: ownNamespace,
    ...(address !== undefined && { address }),
  });

/** Every pod whose container is named by these conditions. */
function specFor(more: object, actions = ['log'], operation = ['exec']): object {
  const selector = { name: 'programs', operation, ...more };
  return { process: { selectors: [selector], responses: [{ match: ['programs'], actions }] } };
}

const podOf = (name: string, namespace: string, labels: Record<string, string> = {}): Pod => ({
  metadata: { name, namespace, labels },
  spec: { containers: [{ name: 'c', image: 'localhost/none' }] },
});

const createPod = (pod: Pod): Promise<Pod> => createPodIn(cluster.client, pod);

const createPolicy = (name: string, spec: unknown) =>
  cluster.client.create('containerpolicies', { metadata: { name }, spec });

const annotationOf = async (name: string, namespace: string) =>
  (await cluster.client.get('pods', { name, namespace })).metadata.annotations?.[policiesKey];

const eventuallyHas = (name: string, namespace: string, wanted: string | undefined) =>
  eventually(
    `\`${name}\` has ${wanted === undefined ? 'no annotation' : `\`${wanted}\``}`,
    async () => (await annotationOf(name, namespace)) === wanted,
    mendedMs,
  );

const setMode = (name: string, value: string | null) =>
  cluster.client.mergePatch(
    'namespaces',
    { name },
    {
      metadata: {
        labels: { 'd4c-gate.io/mode': value },
        annotations: { 'd4c-gate.io/confirm-opt-out': 'true' },
      },
    },
  );

const metric = (name: string) => gate.metric(name);

test('existing pods follow a policy that is created, edited and deleted', options, async () => {
  await createPod(podOf('a', enforced, { app: 'web' }));
  await createPod(podOf('b', enforced));
  await eventuallyHas('a', enforced, 'from-a-file');
  await createPolicy('web', specFor({ kubernetesPodLabel: ['app:web'] }));
  await eventuallyHas('a', enforced, 'from-a-file,web');
  assert.equal(await annotationOf('b', enforced), 'from-a-file');
  await cluster.client.mergePatch(
    'containerpolicies',
    { name: 'web' },
    { spec: specFor({ kubernetesPodLabel: ['app:db'] }) },
  );
  await eventuallyHas('a', enforced, 'from-a-file');
  await cluster.client.mergePatch('containerpolicies', { name: 'web' }, { spec: specFor({}) });
  await eventuallyHas('b', enforced, 'from-a-file,web');
  await cluster.client.delete('containerpolicies', { name: 'web' });
  await eventuallyHas('a', enforced, 'from-a-file');
  await eventuallyHas('b', enforced, 'from-a-file');
  await eventually(
    'nothing is left to mend',
    async () => (await metric('d4c_gate_admission_unannotated_pods')) === 0,
  );
});

test(
  'a namespace that opts in has its pods annotated, and one that opts out has them taken off',
  options,
  async () => {
    await createPod(podOf('early', later));
    assert.equal(await annotationOf('early', later), undefined);
    const missed = await metric('d4c_gate_admission_fail_open_pods_total');
    await setMode(later, 'observe');
    await eventuallyHas('early', later, 'from-a-file');
    assert.equal(await metric('d4c_gate_admission_fail_open_pods_total'), missed, 'it was there before');
    await setMode(later, null);
    await eventuallyHas('early', later, undefined);
  },
);

test('policies of an image follow an ephemeral container', options, async () => {
  await createPolicy('debugger', specFor({ containerImageName: ['toolbox'] }));
  await createPod(podOf('debugged', enforced));
  const path = `/api/v1/namespaces/${enforced}/pods/debugged/ephemeralcontainers`;
  const { stdout } = await cluster.kubectl(['get', '--raw', path]);
  const pod = JSON.parse(stdout);
  pod.spec.ephemeralContainers = [{ name: 'debug', image: 'localhost/toolbox' }];
  const { exitCode, stderr } = await cluster.kubectl(['replace', '--raw', path, '-f', '-'], {
    stdin: JSON.stringify(pod),
  });
  assert.equal(exitCode, 0, stderr);
  await eventuallyHas('debugged', enforced, 'debugger,from-a-file');
  await cluster.client.delete('containerpolicies', { name: 'debugger' });
});

test('what waited for the name of a pod is decided once it has one', options, async () => {
  const names = ['made-b*', 'made-c*', 'made-d*', 'made-f*', 'made-g*', 'made-h*'];
  await createPolicy('named', specFor({ kubernetesPodName: names }));
  await createPod(podOf('settled', enforced));
  await eventually('the webhook knows the policy', async () => {
    const asked = {
      metadata: { generateName: 'made-', namespace: enforced },
      spec: podOf('x', enforced).spec,
    };
    const { metadata } = await cluster.client.create('pods', asked as Pod, { dryRun: true });
    return metadata.annotations?.['d4c-gate.io/policies-undecided'] === 'named';
  });
  const pods = await Promise.all(
    Array.from({ length: 8 }, () =>
      createPod({ ...podOf('', enforced), metadata: { generateName: 'made-', namespace: enforced } }),
    ),
  );
  for (const { metadata } of pods) {
    const name = metadata.name ?? '';
    const applies = names.some((pattern) => name.startsWith(pattern.slice(0, -1)));
    await eventually(
      `\`${name}\` is decided`,
      async () => {
        const { annotations = {} } = (await cluster.client.get('pods', { name, namespace: enforced }))
          .metadata;
        const isDecided = annotations['d4c-gate.io/policies-undecided'] === undefined;
        return isDecided && annotations[policiesKey] === (applies ? 'from-a-file,named' : 'from-a-file');
      },
      mendedMs,
    );
  }
  await cluster.client.delete('containerpolicies', { name: 'named' });
});

test('the namespaces on which the cluster and d4c-gate depend are never touched', options, async () => {
  for (const namespace of [ownNamespace, 'kube-system']) {
    await setMode(namespace, 'enforce');
    await createPod(podOf('untouched', namespace));
  }
  await createPolicy('touching', specFor({}));
  await eventuallyHas('a', enforced, 'from-a-file,touching');
  await eventually(
    'nothing is left to mend',
    async () => (await metric('d4c_gate_admission_unannotated_pods')) === 0,
  );
  for (const namespace of [ownNamespace, 'kube-system']) {
    assert.equal(await annotationOf('untouched', namespace), undefined, namespace);
    await setMode(namespace, null);
  }
  await cluster.client.delete('containerpolicies', { name: 'touching' });
});

const conditionOf = ({ status }: ContainerPolicy, type: string) =>
  status?.conditions?.find((condition) => condition.type === type);

const policyWith = (name: string, what: string, is: (policy: ContainerPolicy) => boolean) =>
  eventually(
    what,
    async () => {
      const policy = await cluster.client.get('containerpolicies', { name });
      return is(policy) && policy;
    },
    15_000,
  );

test(
  'the status of a policy says whether it is accepted, what of it can be prevented, and on how many pods',
  options,
  async () => {
    await createPod(podOf('counted-1', enforced, { app: 'counted' }));
    await createPod(podOf('counted-2', enforced, { app: 'counted' }));
    const blocking = specFor({ kubernetesPodLabel: ['app:counted'] }, ['alert', 'block'], ['fork', 'exec']);
    await createPolicy('counted', blocking);
    const policy = await policyWith(
      'counted',
      'two pods are counted',
      ({ status }) => status?.boundPods === 2,
    );
    assert.equal(policy.status?.observedGeneration, 1);
    assert.equal(conditionOf(policy, 'Accepted')?.status, 'True');
    assert.match(conditionOf(policy, 'Accepted')?.message ?? '', /POLICY_NOT_BLOCKABLE/);
    const enforceable = conditionOf(policy, 'Enforceable');
    assert.equal(enforceable?.status, 'False');
    assert.equal(enforceable?.reason, 'PartlyPrevented');
    assert.match(enforceable?.message ?? '', /prevents `exec`; it cannot deny `fork`/);

    const spec = specFor({ kubernetesPodLabel: ['app:counted'] }, ['alert', 'block']);
    await cluster.client.mergePatch('containerpolicies', { name: 'counted' }, { spec });
    const edited = await policyWith(
      'counted',
      'the edit is seen',
      ({ status }) => status?.observedGeneration === 2,
    );
    assert.equal(conditionOf(edited, 'Enforceable')?.status, 'True');
    assert.equal(conditionOf(edited, 'Enforceable')?.observedGeneration, 2);
    const { stdout } = await cluster.kubectl(['get', 'cpol', 'counted']);
    assert.match(stdout, /NAME\s+ACCEPTED\s+ENFORCEABLE\s+PODS\s+AGE\ncounted\s+True\s+True\s+2\s/);

    const before = edited.metadata.resourceVersion;
    await cluster.client.mergePatch(
      'pods',
      { name: 'counted-1', namespace: enforced },
      { metadata: { annotations: { note: 'x' } } },
    );
    await eventuallyHas('counted-1', enforced, 'counted,from-a-file');
    const { metadata } = await cluster.client.get('containerpolicies', { name: 'counted' });
    assert.equal(metadata.resourceVersion, before, 'nothing changed, so nothing was written');
  },
);

test(
  'a namespace that opted in has a report of its policies, which goes when it opts out',
  options,
  async () => {
    const report = await eventually(
      'the report says what applies',
      async () => {
        const found = await cluster.client.find('reports', { name: 'd4c-gate', namespace: enforced });
        // Pods are counted as they are looked at, so a first report may know one of the two.
        const counted = found?.results?.find(({ policy }) => policy === 'counted');
        return counted?.properties?.pods === '2' ? found : undefined;
      },
      20_000,
    );
    assert.equal(report.source, 'd4c-gate');
    assert.deepEqual(report.scope, { apiVersion: 'v1', kind: 'Namespace', name: enforced });
    assert.deepEqual(report.results?.find(({ policy }) => policy === 'counted')?.properties, {
      pods: '2',
      undecidedPods: '0',
    });
    // A policy that waits for a pod's name is none of these.
    assert.equal(report.summary?.pass, report.results?.filter(({ result }) => result === 'pass').length);
    const find = () => cluster.client.find('reports', { name: 'd4c-gate', namespace: later });
    await setMode(later, 'observe');
    await eventually('there is one of this namespace too', find, 15_000);
    await setMode(later, null);
    await eventually('it is deleted', async () => (await find()) === undefined);
  },
);

test('a denial is an Event beside the object, except on a dry run', options, async () => {
  const bad = specFor({ targetFilePaths: ['/etc/x'] });
  for (const dryRun of [true, false]) {
    await assert.rejects(
      cluster.client.create(
        'containerpolicies',
        { metadata: { name: `bad-${dryRun}` }, spec: bad },
        { dryRun },
      ),
      /POLICY_UNKNOWN_KEY/,
    );
  }
  const events = await eventually('the Event', async () => {
    const found = (await cluster.client.list('events', { namespace: 'default' })).filter(
      ({ reason }) => reason === 'AdmissionDenied',
    );
    return found.length > 0 && found;
  });
  assert.deepEqual(
    events.map(({ regarding }) => regarding?.name),
    ['bad-false'],
  );
  assert.match(events[0]?.note ?? '', /^create was refused: spec\.process.*POLICY_UNKNOWN_KEY/);
});

test(
  'pods created while the webhook was away are mended, counted and told of by the next leader',
  options,
  async () => {
    await gate.stop();
    const { metadata } = await createPod(podOf('missed', enforced));
    assert.equal(metadata.annotations?.[policiesKey], undefined);
    const broken = specFor({ targetFilePaths: ['/etc/x'] });
    await cluster.client.mergePatch(
      'validatingwebhookconfigurations',
      { name: 'd4c-gate' },
      { webhooks: [] },
    );
    await eventually('the API server has heard of it', async () => {
      try {
        return await cluster.client.mergePatch('containerpolicies', { name: 'counted' }, { spec: broken });
      } catch (error) {
        if (hasStatus(error, 500) && /failed calling webhook/.test(error.message)) return undefined;
        throw error;
      }
    });
    await createPolicy('from-a-file', specFor({}));
    gate = await startGate(gate.address);
    await eventuallyHas('missed', enforced, 'from-a-file');
    assert.equal(await metric('d4c_gate_admission_fail_open_pods_total'), 1);
    const event = await eventually('the Event', async () =>
      (await cluster.client.list('events', { namespace: enforced })).find(
        ({ reason }) => reason === 'AdmissionMissed',
      ),
    );
    assert.equal(event.regarding?.name, 'missed');

    const faulty = await policyWith(
      'counted',
      'it is not accepted',
      (one) => conditionOf(one, 'Accepted')?.status === 'False',
    );
    assert.match(
      conditionOf(faulty, 'Accepted')?.message ?? '',
      /^not in use: spec\.process.*POLICY_UNKNOWN_KEY/,
    );
    assert.equal(conditionOf(faulty, 'Enforceable')?.status, 'Unknown');
    assert.equal(faulty.status?.observedGeneration, faulty.metadata.generation);
    const taken = await policyWith(
      'from-a-file',
      'the clash is told',
      (one) => conditionOf(one, 'Accepted') !== undefined,
    );
    assert.equal(conditionOf(taken, 'Accepted')?.reason, 'IdTaken');
    assert.match(conditionOf(taken, 'Accepted')?.message ?? '', /POLICY_ID_DUPLICATE/);
  },
);
