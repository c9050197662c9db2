import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { type Listener, listen } from '../../src/admission/listen.ts';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import { hasStatus } from '../../src/kubernetes/client.ts';
import type { Pod } from '../../src/kubernetes/kinds.ts';
import { recorded } from '../admission/support.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';
import { type Replicas, startReplicas } from '../support/replicas.ts';

/*
 * Rows of docs/threat-model.md that need a real API server. Only it may call the hooks here, and they fail closed.
 */

const skip = clusterRequirements({ breakable: true });
const options = { skip, timeout: 60_000 };
const suffix = Date.now().toString(36);
const ownNamespace = `gate-${suffix}`;
const [enforced, untouched] = [`enforced-${suffix}`, `untouched-${suffix}`];
const policiesKey = 'd4c-gate.io/policies';
const validating = 'validatingwebhookconfigurations' as const;
const configuration = { name: 'd4c-gate' };
const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));

let cluster: TestCluster;
let replicas: Replicas;
/** Of an administrator, signed by the authority that signed the API server's. */
let administrator: { cert: Buffer; key: Buffer };

before(
  async () => {
    if (skip !== undefined) return;
    cluster = await startCluster();
    const config = parse(await readFile(cluster.kubeconfig, 'utf8'));
    const decode = (text: string) => Buffer.from(text, 'base64');
    const { user } = config.users[0];
    administrator = {
      cert: decode(user['client-certificate-data']),
      key: decode(user['client-key-data']),
    };
    const authority = join(folder.path, 'ca.crt');
    await writeFile(authority, decode(config.clusters[0].cluster['certificate-authority-data']));
    const flags = ['--client-ca', authority, '--client-name', 'kube-apiserver-webhook-client'];
    replicas = await startReplicas(cluster, ownNamespace, 1, { flags, logLevel: 'debug' });
    for (const name of [enforced, untouched]) {
      const labels: Record<string, string> = name === enforced ? { 'd4c-gate.io/mode': 'enforce' } : {};
      await cluster.client.create('namespaces', { metadata: { name, labels } });
    }
    for (const kind of ['mutatingwebhookconfigurations', validating] as const) {
      const { webhooks = [] } = await cluster.client.get(kind, configuration);
      const patch = webhooks.map((_, index) => ({
        op: 'replace' as const,
        path: `/webhooks/${index}/failurePolicy`,
        value: 'Fail',
      }));
      await cluster.client.jsonPatch(kind, configuration, patch);
    }
    const selector = { name: 'programs', operation: ['exec'], kubernetesNamespace: [enforced] };
    const responses = [{ match: ['programs'], actions: ['log'] }];
    const spec = { process: { selectors: [selector], responses } };
    await cluster.client.create('containerpolicies', { metadata: { name: 'applies' }, spec });
    await eventually(
      'pods are annotated',
      async () => (await createPod(enforced, 'first')).metadata.annotations?.[policiesKey] === 'applies',
      20_000,
    );
  },
  { timeout: 120_000 },
);
after(async () => {
  await replicas?.close();
  await cluster?.close();
  await folder.remove();
});

let podNumber = 0;

function createPod(
  namespace: string,
  name: string,
  change: Partial<Pod['metadata']> = {},
  env = '',
): Promise<Pod> {
  podNumber += 1;
  const containers = [{ name: 'c', image: 'localhost/none', env: [{ name: 'SECRET', value: env }] }];
  const initContainers = [{ name: 'i', image: 'localhost/none' }];
  const metadata = { name: `${name}-${podNumber}`, namespace, ...change };
  return eventually('the pod is created', async () => {
    try {
      return await cluster.client.create('pods', { metadata, spec: { containers, initContainers } });
    } catch (error) {
      // The controllers make a namespace's service account a moment after it.
      if (hasStatus(error, 403) && /serviceaccount/.test(error.message)) return undefined;
      throw error;
    }
  });
}

const replica = () => replicas.all[0] as Replicas['all'][number];

/** What the webhook answers to a review that did not come from the API server. */
async function callHook(identity: object): Promise<{ status: number; text: string }> {
  const { port } = replica();
  const headers = { 'content-type': 'application/json' };
  const call = request({
    ...{ host: '127.0.0.1', port, path: '/mutate', method: 'POST', headers, agent: false },
    ...{ rejectUnauthorized: false, ...identity },
  });
  call.end(JSON.stringify(recorded('mutate CREATE pods bare')));
  const [answer] = await once(call, 'response');
  let text = '';
  for await (const chunk of answer) text += chunk;
  return { status: answer.statusCode, text };
}

test('the API server is let in by its client certificate, and nobody else', options, async () => {
  const pod = await createPod(enforced, 'let-in');
  assert.equal(pod.metadata.annotations?.[policiesKey], 'applies');
  for (const identity of [{}, administrator]) {
    const { status, text } = await callHook(identity);
    assert.equal(status, 403, text);
    assert.match(text, /CALLER_REFUSED/);
  }
  assert.match((await callHook(administrator)).text, /which `--client-name` does not list/);
});

test('an impostor at the address of the webhook is not believed', options, async (t) => {
  const validity = { notBefore: Date.now() - 3_600_000, notAfter: Date.now() + 3_600_000 };
  const pair = await issueLeaf(await makeAuthority('impostor', validity), ['127.0.0.1'], validity);
  let asked = 0;
  const impostor: Listener = await listen('127.0.0.1', 0, pair, (_request, response) => {
    asked += 1;
    response.end();
  });
  t.after(() => impostor.drain(0, 0));
  const { webhooks = [] } = await cluster.client.get(validating, configuration);
  const index = webhooks.findIndex(({ name }) => name.startsWith('validate.'));
  const path = `/webhooks/${index}/clientConfig/url`;
  const lead = (value: string) =>
    cluster.client.jsonPatch(validating, configuration, [{ op: 'replace', path, value }]);
  await lead(`https://127.0.0.1:${impostor.port}/validate`);
  t.after(() => lead(`${replicas.url}/validate`));
  await eventually('pods are refused', async () => {
    const refusal = await createPod(enforced, 'impostor').then(() => '', String);
    return /x509|certificate/.test(refusal);
  });
  assert.equal(asked, 0, 'it saw no pod');
  await lead(`${replicas.url}/validate`);
  await eventually('pods are made again', () =>
    createPod(enforced, 'honest').then(
      () => true,
      () => false,
    ),
  );
});

test(
  'a webhook that hangs refuses pods where it fails closed, and its return ends that',
  options,
  async () => {
    replica().signal('SIGSTOP');
    const started = performance.now();
    const refusal = await createPod(enforced, 'hung').then(() => '', String);
    assert.match(refusal, /failed calling webhook/);
    assert.ok(performance.now() - started < 15_000);
    await createPod(untouched, 'elsewhere');
    replica().signal('SIGCONT');
    await eventually(
      'pods are made again',
      () =>
        createPod(enforced, 'again').then(
          () => true,
          () => false,
        ),
      20_000,
    );
  },
);

test(
  'what is admitted differs from what was asked for in our annotations and nothing else',
  options,
  async () => {
    const [one, other] = await Promise.all([createPod(enforced, 'same'), createPod(untouched, 'same')]);
    const comparable = ({ metadata, spec }: Pod) => {
      const {
        name,
        namespace,
        uid,
        resourceVersion,
        creationTimestamp,
        managedFields,
        annotations,
        ...rest
      } = metadata as Record<string, unknown>;
      const { volumes, ...others } = spec as unknown as Record<string, unknown>;
      // The volume of the service account has a name that is made at random.
      return JSON.stringify({ rest, others }).replaceAll(/kube-api-access-\w+/g, 'volume');
    };
    assert.equal(comparable(one), comparable(other));
    assert.deepEqual(one.metadata.annotations, { [policiesKey]: 'applies' });
    assert.equal(other.metadata.annotations, undefined);
  },
);

test('an administrator cannot forge an annotation either', options, async () => {
  const pod = await createPod(enforced, 'forged', { annotations: { [policiesKey]: '' } });
  assert.equal(pod.metadata.annotations?.[policiesKey], 'applies');
});

test('nothing of a pod but names reaches the log, metrics or answers', options, async () => {
  const pod = await createPod(enforced, 'secretive', { labels: { token: 'label-hunter2' } }, 'hunter2');
  await eventually('it is in the log', () => replica().output().includes(`"name":"${pod.metadata.name}"`));
  assert.doesNotMatch(replica().output(), /hunter2/);
  assert.doesNotMatch(await replica().metrics(), /hunter2/);
});

test(
  'a webhook configuration that was deleted is seen in the metrics, and the process goes on',
  options,
  async () => {
    await cluster.client.delete(validating, configuration);
    await eventually(
      'the metric says so',
      async () =>
        /^d4c_gate_admission_ca_bundle_in_sync\{configuration="[^"]*validat[^"]*"\} 0$/im.test(
          await replica().metrics(),
        ),
      20_000,
    );
    assert.ok(replica().isRunning && replica().isReady);
  },
);
