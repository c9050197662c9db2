import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { hasStatus } from '../../src/kubernetes/client.ts';
import type { ContainerPolicy, CustomResourceDefinition, Pod } from '../../src/kubernetes/kinds.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements({ breakable: true });
const options = { skip, timeout: 60_000 };
const main = join(import.meta.dirname, '../../src/main.ts');
const policiesKey = 'd4c-gate.io/policies';
/** What the controller promises. */
const mendedMs = 10_000;
const suffix = Date.now().toString(36);
const ownNamespace = `gate-${suffix}`;
const [enforced, later] = [`enforced-${suffix}`, `later-${suffix}`];

let cluster: TestCluster;
let address: string;
let gate: { child: ChildProcess; output: () => string };
const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));

before(
  async () => {
    if (skip !== undefined) return;
    cluster = await startCluster();
    await installReports();
    address = `127.0.0.1:${await freePort()}`;
    gate = await startGate();
    await cluster.client.create('namespaces', {
      metadata: { name: enforced, labels: { 'd4c-gate.io/mode': 'enforce' } },
    });
    await cluster.client.create('namespaces', { metadata: { name: later } });
  },
  { timeout: 120_000 },
);
after(async () => {
  await stopGate();
  await cluster?.close();
  await folder.remove();
});

async function startGate(): Promise<typeof gate> {
  await writeFile(join(folder.path, 'from-a-file.yaml'), JSON.stringify(specFor({})));
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
  await eventually(
    'it listens',
    () => {
      assert.equal(child.exitCode, null, text);
      return text.includes(`listening on https://${address}`);
    },
    40_000,
  );
  return { child, output: () => text };
}

async function stopGate(): Promise<void> {
  if (gate === undefined || gate.child.exitCode !== null) return;
  gate.child.kill('SIGTERM');
  await once(gate.child, 'exit');
}

/** Every pod whose container is named by these conditions. */
function specFor(more: object, actions = ['log'], operation = ['exec']): object {
  const selector = { name: 'programs', operation, ...more };
  return { process: { selectors: [selector], responses: [{ match: ['programs'], actions }] } };
}

const podOf = (name: string, namespace: string, labels: Record<string, string> = {}): Pod => ({
  metadata: { name, namespace, labels },
  spec: { containers: [{ name: 'c', image: 'localhost/none' }] },
});

/** The controllers make a namespace's service account a moment after it. */
function createPod(pod: Pod): Promise<Pod> {
  return eventually('the pod is created', async () => {
    try {
      return await cluster.client.create('pods', pod);
    } catch (error) {
      if (hasStatus(error, 403) && /serviceaccount/.test(error.message)) return undefined;
      throw error;
    }
  });
}

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

function metric(name: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const agent = new Agent({ rejectUnauthorized: false });
    get(`https://${address}/metrics`, { agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        const line = text.split('\n').find((one) => one.startsWith(`${name} `));
        resolve(Number(line?.split(' ')[1] ?? Number.NaN));
      });
    }).on('error', reject);
  });
}

/** The field names of openreports.io/v1alpha1 that are written, and nothing else of it. */
async function installReports(): Promise<void> {
  const text = { type: 'string' };
  const texts = { type: 'object', additionalProperties: text };
  const outcomes = ['pass', 'fail', 'warn', 'error', 'skip'];
  const result = {
    type: 'object',
    required: ['policy'],
    properties: {
      ...{ source: text, policy: text, category: text, message: text, properties: texts },
      result: { type: 'string', enum: outcomes },
    },
  };
  const counts = Object.fromEntries(outcomes.map((outcome) => [outcome, { type: 'integer' }]));
  const schema = {
    type: 'object',
    properties: {
      source: text,
      scope: { type: 'object', properties: { apiVersion: text, kind: text, name: text } },
      summary: { type: 'object', properties: counts },
      results: { type: 'array', items: result },
    },
  };
  const definition: CustomResourceDefinition = {
    metadata: { name: 'reports.openreports.io' },
    spec: {
      group: 'openreports.io',
      scope: 'Namespaced',
      names: { kind: 'Report', listKind: 'ReportList', plural: 'reports', singular: 'report' },
      versions: [{ name: 'v1alpha1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
  await cluster.client.create('customresourcedefinitions', definition);
  await eventually('reports are served', () => cluster.client.serves('openreports.io/v1alpha1'), 20_000);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const bound = server.address();
      const port = typeof bound === 'object' ? (bound?.port ?? 0) : 0;
      server.close(() => resolve(port));
    });
  });
}

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
    const mode = (value: string | null) =>
      cluster.client.mergePatch(
        'namespaces',
        { name: later },
        {
          metadata: {
            labels: { 'd4c-gate.io/mode': value },
            annotations: { 'd4c-gate.io/confirm-opt-out': 'true' },
          },
        },
      );
    const missed = await metric('d4c_gate_admission_fail_open_pods_total');
    await mode('observe');
    await eventuallyHas('early', later, 'from-a-file');
    assert.equal(await metric('d4c_gate_admission_fail_open_pods_total'), missed, 'it was there before');
    await mode(null);
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
        return found?.results?.some(({ policy }) => policy === 'counted') ? found : undefined;
      },
      20_000,
    );
    assert.equal(report.source, 'd4c-gate');
    assert.deepEqual(report.scope, { apiVersion: 'v1', kind: 'Namespace', name: enforced });
    assert.deepEqual(report.results?.find(({ policy }) => policy === 'counted')?.properties, {
      pods: '2',
      undecidedPods: '0',
    });
    assert.equal(report.summary?.pass, report.results?.length);
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
    await stopGate();
    const { metadata } = await createPod(podOf('missed', enforced));
    assert.equal(metadata.annotations?.[policiesKey], undefined);
    const broken = specFor({ targetFilePaths: ['/etc/x'] });
    await cluster.client.mergePatch(
      'validatingwebhookconfigurations',
      { name: 'd4c-gate' },
      { webhooks: [] },
    );
    await cluster.client.mergePatch('containerpolicies', { name: 'counted' }, { spec: broken });
    await createPolicy('from-a-file', specFor({}));
    gate = await startGate();
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
