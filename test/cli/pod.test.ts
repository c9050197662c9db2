import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readPod } from '../../src/cli/pod.ts';

const spec = { containers: [{ name: 'web', image: 'nginx' }] };
const template = { metadata: { labels: { app: 'web' } }, spec };

test('a Pod is read with every container, in order', () => {
  const pod = readPod(
    {
      kind: 'Pod',
      metadata: { name: 'web-0', namespace: 'shop', labels: { app: 'web', version: 2 } },
      spec: {
        containers: [{ name: 'web', image: 'nginx' }],
        initContainers: [{ name: 'init', image: 'busybox' }],
        ephemeralContainers: [{ name: 'debug', image: 'alpine' }],
      },
    },
    'pod.yaml',
  );
  assert.deepEqual(pod, {
    kind: 'Pod',
    name: 'web-0',
    namespace: 'shop',
    podName: { name: 'web-0' },
    labels: new Map([
      ['app', 'web'],
      ['version', '2'],
    ]),
    containers: [
      { name: 'init', image: 'busybox' },
      { name: 'web', image: 'nginx' },
      { name: 'debug', image: 'alpine' },
    ],
  });
});

test('a workload is read by its template', () => {
  const bodies: Record<string, object> = {
    Deployment: { spec: { template } },
    CronJob: { spec: { jobTemplate: { spec: { template } } } },
    PodTemplate: { template },
  };
  for (const [kind, body] of Object.entries(bodies)) {
    const { labels, containers, namespace } = readPod({ kind, metadata: { name: 'web' }, ...body }, 'w.yaml');
    const known = new Map([...labels].filter(([, value]) => value !== undefined));
    assert.deepEqual(known, new Map([['app', 'web']]), kind);
    assert.deepEqual(containers, spec.containers, kind);
    assert.equal(namespace, 'default');
  }
});

/** Kind, labels of the template, a key, what is known of it, because. */
const labelTable: [kind: string, labels: object, key: string, known: string, because: string][] = [
  ['Deployment', {}, 'pod-template-hash', 'not known', 'the controller puts it on the pods'],
  [
    'Deployment',
    { 'pod-template-hash': 'x' },
    'pod-template-hash',
    'not known',
    'the controller replaces it',
  ],
  [
    'StatefulSet',
    {},
    'statefulset.kubernetes.io/pod-name',
    'not known',
    'the controller puts it on the pods',
  ],
  ['DaemonSet', {}, 'controller-revision-hash', 'not known', 'the controller puts it on the pods'],
  ['Job', {}, 'job-name', 'not known', 'the API server puts it into the template'],
  ['Job', { 'job-name': 'web' }, 'job-name', 'web', 'the API server has put it there'],
  ['Job', {}, 'pod-template-hash', 'absent', 'no Job puts it on its pods'],
  ['ReplicaSet', { 'pod-template-hash': 'x' }, 'pod-template-hash', 'x', 'the Deployment has put it there'],
  ['Pod', {}, 'pod-template-hash', 'absent', 'a Pod is as it stands'],
  ['constructor', {}, 'pod-template-hash', 'absent', 'no kind is taken for a property of objects'],
];

for (const [kind, labels, key, known, because] of labelTable) {
  test(`label \`${key}\` of a ${kind} with ${JSON.stringify(labels)} is ${known}: ${because}`, () => {
    const metadata = { name: 'web', labels };
    const body = kind === 'Pod' ? spec : { template: { metadata, spec } };
    const { labels: found } = readPod({ kind, metadata, spec: body }, 'w.yaml');
    assert.equal(found.has(key) ? (found.get(key) ?? 'not known') : 'absent', known);
  });
}

test("a pod's name is known as far as its kind tells", () => {
  const nameOf = (kind: string, more: object = {}, metadata: object = { name: 'web' }) =>
    readPod({ kind, metadata, spec: { template, ...spec, ...more } }, 'w.yaml').podName;
  for (const kind of ['DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job']) {
    assert.deepEqual(nameOf(kind), { generateName: 'web-' }, kind);
  }
  for (const kind of ['Deployment', 'StatefulSet']) {
    assert.ok('begin' in (nameOf(kind) ?? {}), kind);
  }
  assert.ok('begin' in (nameOf('Job', { completionMode: 'Indexed' }) ?? {}));
  const jobTemplate = { spec: { template, completionMode: 'Indexed' } };
  assert.ok('begin' in (nameOf('CronJob', { jobTemplate }) ?? {}));
  assert.deepEqual(nameOf('Pod', {}, { generateName: 'web-' }), { generateName: 'web-' });
  assert.deepEqual(nameOf('Pod', {}, { generateName: 'web-', name: 'web-x' }), { name: 'web-x' });
  assert.equal(nameOf('Pod', {}, {}), undefined);
});

test('what has no containers is refused', () => {
  for (const document of [
    null,
    1,
    [],
    {},
    { kind: 'Service', spec: {} },
    { kind: 'Pod', spec: { containers: [1, {}] } },
  ]) {
    assert.throws(() => readPod(document, 'x.yaml'), { code: 'USAGE', message: /`x.yaml` is neither a Pod/ });
  }
});
