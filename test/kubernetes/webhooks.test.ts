import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Webhook } from '../../src/kubernetes/kinds.ts';
import { isOurs, mutatingConfiguration, validatingConfiguration } from '../../src/kubernetes/webhooks.ts';

const options = { endpoint: { url: 'https://127.0.0.1:8443' }, ownNamespace: 'd4c-gate' };

function webhooksOf(
  changes: Partial<Parameters<typeof mutatingConfiguration>[0]> = {},
): Map<string, Webhook> {
  const all = { ...options, ...changes };
  const webhooks = [
    ...(mutatingConfiguration(all).webhooks ?? []),
    ...(validatingConfiguration(all).webhooks ?? []),
  ];
  return new Map(webhooks.map((webhook) => [webhook.name.replace('.d4c-gate.io', ''), webhook]));
}

test('asks about exactly what the webhook answers', () => {
  const asked = [...webhooksOf()].map(([name, { rules = [] }]) => [
    name,
    rules.map((rule) => `${rule.operations.join()} ${rule.apiGroups.join()}/${rule.resources.join()}`),
  ]);
  assert.deepEqual(Object.fromEntries(asked), {
    mutate: ['CREATE,UPDATE /pods'],
    validate: [
      'CREATE,UPDATE /pods',
      'UPDATE /pods/ephemeralcontainers,pods/resize',
      'CONNECT /pods/exec,pods/attach',
    ],
    policies: ['CREATE,UPDATE d4c-gate.io/containerpolicies'],
    advise: [
      'CREATE,UPDATE apps/deployments,statefulsets,daemonsets,replicasets',
      'CREATE,UPDATE batch/jobs,cronjobs',
    ],
    guard: ['CREATE,UPDATE /namespaces'],
  });
});

test('never asks about pods of its own namespace, of kube-system, or without the label', () => {
  for (const name of ['mutate', 'validate', 'advise']) {
    assert.deepEqual(webhooksOf({ ownNamespace: 'gate-system' }).get(name)?.namespaceSelector, {
      matchExpressions: [
        { key: 'd4c-gate.io/mode', operator: 'In', values: ['observe', 'enforce'] },
        { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system', 'gate-system'] },
      ],
    });
  }
});

test('asks about what everyone does to pods, but for the controller where one is named', () => {
  const conditions = (controllerUser?: string) =>
    [...webhooksOf(controllerUser === undefined ? {} : { controllerUser })].flatMap(
      ([name, { matchConditions = [] }]) =>
        matchConditions
          .filter((one) => one.name === 'not-by-the-controller')
          .map((one) => [name, one.expression]),
    );
  assert.deepEqual(conditions(), []);
  const expression = "request.userInfo.username != 'system:serviceaccount:a:b'";
  assert.deepEqual(conditions('system:serviceaccount:a:b'), [
    ['mutate', expression],
    ['validate', expression],
  ]);
});

test('what the operator sets for pods leaves the other hooks as they are', () => {
  const failurePolicies = (failurePolicy: 'Ignore' | 'Fail') =>
    [...webhooksOf({ failurePolicy })].map(([name, webhook]) => `${name} ${webhook.failurePolicy}`);
  const others = ['policies Fail', 'advise Ignore', 'guard Ignore'];
  assert.deepEqual(failurePolicies('Ignore'), ['mutate Ignore', 'validate Ignore', ...others]);
  assert.deepEqual(failurePolicies('Fail'), ['mutate Fail', 'validate Fail', ...others]);
});

test('nobody waits long for what only warns or fails open', () => {
  const webhooks = webhooksOf({ timeoutSeconds: 30 });
  assert.equal(webhooks.get('validate')?.timeoutSeconds, 30);
  assert.equal(webhooks.get('advise')?.timeoutSeconds, 2);
  assert.equal(webhooks.get('guard')?.timeoutSeconds, 3);
});

test('names a Service or a URL, and leaves `caBundle` out unless it is given', () => {
  const service = { name: 'gate', namespace: 'gate-system' };
  assert.deepEqual(webhooksOf({ endpoint: { service } }).get('policies')?.clientConfig, {
    service: { ...service, port: 443, path: '/policies' },
  });
  assert.deepEqual(webhooksOf({ caBundle: 'PEM' }).get('mutate')?.clientConfig, {
    url: 'https://127.0.0.1:8443/mutate',
    caBundle: 'UEVN',
  });
  const below = webhooksOf({ endpoint: { url: 'https://gate.example/below/' } });
  assert.equal(below.get('mutate')?.clientConfig.url, 'https://gate.example/below/mutate');
});

test('refuses a URL that an API server would refuse', () => {
  for (const url of [
    'http://127.0.0.1:1',
    'https://u:p@host',
    'https://host/?a=b',
    'https://host/#a',
    'host:1',
    '',
  ]) {
    assert.throws(() => mutatingConfiguration({ ...options, endpoint: { url } }), { code: 'USAGE' }, url);
  }
});

test('knows its own configurations, also under the name of a release, and no others', () => {
  assert.equal(isOurs(validatingConfiguration(options)), true);
  assert.equal(isOurs({ metadata: { name: 'x' }, webhooks: [] }), false);
  const stranger = {
    name: 'policies.example.com',
    clientConfig: {},
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  } as const;
  assert.equal(
    isOurs({ metadata: { name: 'd4c-gate' }, webhooks: [{ ...stranger, admissionReviewVersions: ['v1'] }] }),
    false,
  );
});

test('excluded namespaces are not asked about, whatever their labels say', () => {
  const excluded = { ...options, excludedNamespaces: ['a', 'kube-system'] };
  const selectorOf = (path: string) =>
    validatingConfiguration(excluded).webhooks?.find(({ name }) => name === `${path}.d4c-gate.io`)
      ?.namespaceSelector?.matchExpressions;
  const key = 'kubernetes.io/metadata.name';
  const never = ['kube-system', options.ownNamespace, 'a'];
  assert.deepEqual(selectorOf('validate')?.[1], { key, operator: 'NotIn', values: never });
  assert.deepEqual(selectorOf('guard'), [{ key, operator: 'NotIn', values: ['a', 'kube-system'] }]);
});
