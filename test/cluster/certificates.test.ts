import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Listener, listen } from '../../src/admission/listen.ts';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import type { CertificatePair } from '../../src/certificates/pair.ts';
import { followSecret } from '../../src/controller/certificateFollower.ts';
import { type ConfigurationName, certificateObjects } from '../../src/controller/certificateObjects.ts';
import { readState } from '../../src/controller/certificateSecret.ts';
import { dayMs } from '../../src/controller/certificateStep.ts';
import { type Keeping, keepCertificates } from '../../src/controller/certificates.ts';
import type { Failure } from '../../src/failures.ts';
import type { WebhookConfiguration } from '../../src/kubernetes/kinds.ts';
import { failuresTotal } from '../../src/metrics.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements();
const suffix = Date.now().toString(36);
const namespace = `certificates-${suffix}`;
const label = 'd4c-gate-test';
const secret = { name: 'webhook-tls', namespace };
const names: readonly ConfigurationName[] = [
  { kind: 'mutatingwebhookconfigurations', name: `d4c-certificates-${suffix}` },
  { kind: 'validatingwebhookconfigurations', name: `d4c-certificates-${suffix}` },
];
/** Days go by in moments, so validity begins two years early for the API server's own clock. */
const times = { leafMs: 30 * dayMs, authorityMs: 120 * dayMs, backdateMs: 730 * dayMs, settleMs: 500 };

let cluster: TestCluster;
let listener: Listener;
let keeping: Keeping;
const clock = { now: Date.now() };
const over = new AbortController();
let reviews = 0;

before(async () => {
  if (skip !== undefined) return;
  cluster = await startCluster();
  await cluster.client.create('namespaces', { metadata: { name: namespace, labels: { [label]: suffix } } });
  const objects = certificateObjects(cluster.client, secret, names);
  const now = () => clock.now;
  keeping = keepCertificates(objects, { hosts: ['127.0.0.1'], term: over.signal, everyMs: 200, now, times });
  const pair = await followSecret(cluster.client, {
    mode: 'self',
    ...secret,
    onPair: (next: CertificatePair) => listener.useCertificate(next),
    everyMs: 100,
    now,
    signal: over.signal,
  });
  listener = await listen('127.0.0.1', 0, pair, allow);
  for (const { kind, name } of names) {
    await cluster.client.apply(kind, configuration(name, ['pods', 'leases']), { fieldManager: 'helm' });
  }
  await eventually('the API server trusts the webhook', async () => (await call(0)) === '', 30_000);
});

after(async () => {
  over.abort();
  await keeping?.ended;
  for (const { kind, name } of names) await cluster?.client.delete(kind, { name });
  await cluster?.client.delete('namespaces', { name: namespace });
  await cluster?.close();
  await listener?.drain(0, 1_000);
});

function allow(request: IncomingMessage, response: ServerResponse): void {
  let text = '';
  request.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  request.on('end', () => {
    reviews += 1;
    const { uid } = JSON.parse(text).request;
    const answer = {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid, allowed: true },
    };
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
  });
}

const counted = async (failure: Failure) =>
  (await failuresTotal.get()).values.find(({ labels }) => labels.failure === failure)?.value ?? 0;

/** What a chart renders: webhooks that fail closed, without `caBundle`. */
function configuration(name: string, webhooks: readonly string[]): WebhookConfiguration {
  return {
    metadata: { name },
    webhooks: webhooks.map((webhook) => ({
      name: `${webhook}.d4c-gate.io`,
      clientConfig: { url: `https://127.0.0.1:${listener.port}/` },
      rules: [
        {
          operations: ['CREATE'],
          apiGroups: ['', 'coordination.k8s.io'],
          apiVersions: ['*'],
          resources: [webhook],
        },
      ],
      namespaceSelector: { matchLabels: { [label]: suffix } },
      failurePolicy: 'Fail',
      sideEffects: 'None',
      timeoutSeconds: 5,
      admissionReviewVersions: ['v1'],
    })),
  };
}

/** Why the API server refused an object that it has to ask both configurations about, or `''`. */
async function call(index: number): Promise<string> {
  try {
    await cluster.client.create(
      'leases',
      { metadata: { name: `call-${index}`, namespace } },
      { dryRun: true },
    );
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const secretNow = () => cluster.client.get('secrets', secret);
const bundlesOf = async ({ kind, name }: ConfigurationName) =>
  ((await cluster.client.get(kind, { name })).webhooks ?? []).map(
    ({ clientConfig }) => clientConfig.caBundle ?? '',
  );
const [mutating, validating] = names as [ConfigurationName, ConfigurationName];
const options = { skip, timeout: 120_000 };

test('no call of a real API server fails while 3 authorities and 10 leaves rotate', options, async (t) => {
  const leaves = new Set<string>();
  const authorities = new Set<string>();
  const note = async () => {
    const state = readState((await secretNow()).data);
    if (state.leaf) leaves.add(state.leaf.certificate.serialNumber);
    for (const { certificate } of state.authorities) authorities.add(certificate.serialNumber);
  };
  await note();
  const failed: string[] = [];
  let sent = 0;
  let isOver = false;
  const callers = [0, 1, 2, 3].map(async () => {
    while (!isOver) {
      sent += 1;
      const refusal = await call(sent);
      if (refusal !== '') failed.push(refusal);
      await sleep(5);
    }
  });
  while (leaves.size < 1 + 10 || authorities.size < 2 + 3) {
    clock.now += 3 * dayMs;
    await keeping.lookNow();
    await sleep(150);
    await note();
  }
  isOver = true;
  await Promise.all(callers);
  t.diagnostic(`${sent} calls; ${authorities.size - 2} authorities and ${leaves.size - 1} leaves rotated`);
  assert.deepEqual(failed.slice(0, 3), [], `${failed.length} of ${sent} failed`);
  assert.ok(reviews > sent);
});

test('a deleted Secret is made anew, and no call fails meanwhile', options, async () => {
  const lost = readState((await secretNow()).data);
  const before = await counted('certificate_lost');
  await cluster.client.delete('secrets', secret);
  const until = performance.now() + 3_000;
  while (performance.now() < until) assert.equal(await call(1), '');
  const { authorities, leaf, problems } = readState((await secretNow()).data);
  assert.deepEqual(problems, []);
  assert.equal(authorities.length, 2);
  assert.notEqual(leaf?.cert, lost.leaf?.cert);
  assert.ok((await counted('certificate_lost')) > before);
});

test(
  'a clock that is 5 minutes late is counted, and neither calls nor the certificate suffer',
  options,
  async () => {
    const before = await counted('clock_skewed');
    const { leaf } = readState((await secretNow()).data);
    clock.now -= 5 * 60_000;
    await keeping.lookNow();
    assert.equal((await counted('clock_skewed')) - before, 1);
    for (let index = 0; index < 20; index += 1) assert.equal(await call(index), '');
    assert.equal(readState((await secretNow()).data).leaf?.cert, leaf?.cert);
    clock.now += 5 * 60_000;
  },
);

test('a caBundle that was replaced by hand is put back', options, async () => {
  const good = await bundlesOf(validating);
  const before = await counted('ca_bundle_changed');
  const patch = [
    { op: 'replace' as const, path: '/webhooks/0/clientConfig/caBundle', value: btoa('garbage') },
  ];
  // The API server may refuse garbage, depending on its version; then there is nothing to mend.
  await cluster.client
    .jsonPatch(validating.kind, validating, patch, { fieldManager: 'by-hand' })
    .catch(() => undefined);
  await eventually(
    'it is put back',
    async () => String(await bundlesOf(validating)) === String(good),
    10_000,
  );
  const empty = [{ op: 'remove' as const, path: '/webhooks/1/clientConfig/caBundle' }];
  await cluster.client.jsonPatch(validating.kind, validating, empty, { fieldManager: 'by-hand' });
  await eventually(
    'it is there again',
    async () => String(await bundlesOf(validating)) === String(good),
    10_000,
  );
  await eventually('the API server trusts the webhook', async () => (await call(2)) === '', 10_000);
  assert.ok((await counted('ca_bundle_changed')) > before);
});

test(
  'a chart that is applied again, changed or smaller meets no conflict and keeps the caBundle',
  options,
  async () => {
    const { kind, name } = mutating;
    const good = (await bundlesOf(mutating))[0];
    const helm = { fieldManager: 'helm', force: false };
    await cluster.client.apply(kind, configuration(name, ['pods', 'leases']), helm);
    assert.deepEqual(await bundlesOf(mutating), [good, good]);
    await cluster.client.apply(kind, configuration(name, ['leases']), helm);
    assert.deepEqual(await bundlesOf(mutating), [good], 'a webhook can be taken away');
    await cluster.client.apply(kind, configuration(name, ['pods', 'leases']), helm);
    await eventually(
      'a new webhook trusts it',
      async () => String(await bundlesOf(mutating)) === `${good},${good}`,
      10_000,
    );
    await cluster.client.apply(
      'secrets',
      { metadata: { ...secret, labels: { chart: '2' } }, type: 'Opaque' },
      helm,
    );
    assert.equal(readState((await secretNow()).data).authorities.length, 2);
  },
);

test('owns caBundle and the data of the Secret, and nothing else', options, async () => {
  const fields = async (args: string[]): Promise<unknown> => {
    const { stdout } = await cluster.kubectl(['get', ...args, '-o', 'json', '--show-managed-fields']);
    const managed: { manager: string; fieldsV1: unknown }[] = JSON.parse(stdout).metadata.managedFields;
    return managed.find(({ manager }) => manager === 'd4c-gate-certificates')?.fieldsV1;
  };
  const bundle = { 'f:clientConfig': { 'f:caBundle': {} } };
  assert.deepEqual(await fields([validating.kind, validating.name]), {
    'f:webhooks': { 'k:{"name":"leases.d4c-gate.io"}': bundle, 'k:{"name":"pods.d4c-gate.io"}': bundle },
  });
  const keys = ['ca-1', 'ca-2', 'tls'].flatMap((one) => [`f:${one}.crt`, `f:${one}.key`]);
  assert.deepEqual(await fields(['secrets', '-n', namespace, secret.name]), {
    'f:data': Object.fromEntries(keys.map((key) => [key, {}])),
  });
});

test('a role restricted to the names is enough, also to make the Secret anew', options, async () => {
  const user = `system:serviceaccount:${namespace}:default`;
  const manifest = JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: [
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'Role',
        metadata: { name: 'certificates', namespace },
        rules: [
          {
            apiGroups: [''],
            resources: ['secrets'],
            resourceNames: ['another-tls'],
            verbs: ['get', 'create', 'patch'],
          },
        ],
      },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'certificates', namespace },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'certificates' },
        subjects: [{ kind: 'ServiceAccount', name: 'default', namespace }],
      },
    ],
  });
  assert.equal((await cluster.kubectl(['apply', '-f', '-'], { stdin: manifest })).exitCode, 0);
  const apply = (name: string) =>
    cluster.kubectl(['apply', '--server-side', '--as', user, '-f', '-'], {
      stdin: JSON.stringify({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name, namespace },
        type: 'Opaque',
      }),
    });
  const { exitCode, stderr } = await apply('another-tls');
  assert.equal(exitCode, 0, stderr);
  assert.match((await apply('foreign')).stderr, /cannot patch resource "secrets"/);
});

for (const mode of ['cert-manager', 'provided'] as const) {
  test(
    `mode ${mode}: what somebody else writes into the Secret is served and trusted, and so is its renewal`,
    options,
    async (t) => {
      const validity = { notBefore: Date.now() - 3_600_000, notAfter: Date.now() + dayMs };
      const authority = await makeAuthority(mode, validity);
      const [first, next] = await Promise.all(
        [1, 2].map(() => issueLeaf(authority, ['127.0.0.1'], validity)),
      );
      const data = ({ cert, key }: CertificatePair) => ({
        data: { 'tls.crt': btoa(cert), 'tls.key': btoa(key), 'ca.crt': btoa(authority.cert) },
      });
      const metadata = { name: `${mode}-tls`, namespace };
      assert.ok(first !== undefined && next !== undefined);
      await cluster.client.create('secrets', { metadata, type: 'kubernetes.io/tls', ...data(first) });
      const ended = new AbortController();
      const served = Promise.withResolvers<CertificatePair>();
      const pair = await followSecret(cluster.client, {
        ...{ mode, ...metadata, everyMs: 100, signal: ended.signal },
        onPair(renewed) {
          own.useCertificate(renewed);
          served.resolve(renewed);
        },
      });
      const own = await listen('127.0.0.1', 0, pair, allow);
      const name = `d4c-${mode}-${suffix}`;
      t.after(async () => {
        ended.abort();
        await cluster.client.delete(validating.kind, { name });
        await own.drain(0, 0);
      });
      const [webhook] = configuration(name, ['namespaces']).webhooks ?? [];
      assert.ok(webhook !== undefined);
      const clientConfig = { url: `https://127.0.0.1:${own.port}/`, caBundle: btoa(authority.cert) };
      const { namespaceSelector: objectSelector, ...rest } = webhook;
      await cluster.client.create(validating.kind, {
        metadata: { name },
        webhooks: [{ ...rest, objectSelector, clientConfig } as typeof webhook],
      });
      const asked = async () => {
        const before = reviews;
        const labels = { [label]: suffix };
        await cluster.client.create(
          'namespaces',
          { metadata: { name: `asked-${mode}`, labels } },
          { dryRun: true },
        );
        return reviews > before;
      };
      await eventually('the API server asks it', asked, 10_000);
      await cluster.client.mergePatch('secrets', metadata, data(next));
      assert.equal((await served.promise).cert, next.cert);
      assert.ok(await asked());
    },
  );
}
