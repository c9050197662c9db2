import assert from 'node:assert/strict';
import { test } from 'node:test';
import { factsOfAnnotations, parseOciSpec, podLabelsOf } from '../../src/node/ociSpec.ts';

const facts = (annotations: Record<string, string>) =>
  factsOfAnnotations(new Map(Object.entries(annotations)));

test('understands a container of the kubelet on containerd', () => {
  const found = facts({
    'io.kubernetes.cri.container-type': 'container',
    'io.kubernetes.cri.container-name': 'app',
    'io.kubernetes.cri.image-name': 'docker.io/library/nginx:1.25',
    'io.kubernetes.cri.sandbox-id': 's1',
    'io.kubernetes.cri.sandbox-name': 'web-0',
    'io.kubernetes.cri.sandbox-namespace': 'shop',
    'io.kubernetes.cri.sandbox-uid': 'u1',
  });
  assert.deepEqual(found, {
    manager: 'cri',
    image: 'docker.io/library/nginx:1.25',
    containerName: 'app',
    isSandbox: false,
    sandboxId: 's1',
    pod: { name: 'web-0', namespace: 'shop', uid: 'u1' },
    podLabels: undefined,
    podAnnotations: undefined,
  });
});

test('understands a sandbox of cri-o, with the labels of its pod', () => {
  const found = facts({
    'io.container.manager': 'cri-o',
    'io.kubernetes.cri-o.ContainerType': 'sandbox',
    'io.kubernetes.cri-o.Labels': '{"app":"web","io.kubernetes.pod.name":"web-0","bad":1}',
    'io.kubernetes.pod.name': 'web-0',
    'io.kubernetes.pod.namespace': 'shop',
  });
  assert.equal(found.isSandbox, true);
  assert.deepEqual(found.pod, { name: 'web-0', namespace: 'shop', uid: undefined });
  assert.deepEqual(
    [...(found.podLabels ?? [])],
    [
      ['app', 'web'],
      ['io.kubernetes.pod.name', 'web-0'],
    ],
  );
});

test('a container of podman is in no pod of Kubernetes, whatever it says', () => {
  const found = facts({ 'io.container.manager': 'libpod', 'io.kubernetes.cri-o.ContainerType': 'sandbox' });
  assert.equal(found.manager, 'libpod');
  assert.equal(found.pod, undefined);
});

test('labels that are not JSON are unknown labels', () => {
  assert.equal(
    facts({ 'io.kubernetes.cri-o.ContainerType': 'sandbox', 'io.kubernetes.cri-o.Labels': '{' }).podLabels,
    undefined,
  );
});

test('the labels of a pod do not include those that the kubelet adds', () => {
  const labels = new Map([
    ['app', 'web'],
    ['io.kubernetes.pod.uid', 'u'],
    ['io.cri-containerd.kind', 'sandbox'],
  ]);
  assert.deepEqual([...podLabelsOf(labels)], [['app', 'web']]);
});

test('privileged is the capabilities of the host and an unmasked /proc', () => {
  const bounding = ['CAP_SYS_ADMIN', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_CHOWN'];
  const spec = (capabilities: unknown, maskedPaths?: string[]) =>
    parseOciSpec({ process: { capabilities }, linux: { maskedPaths } })?.privileged;
  assert.equal(spec({ bounding }), true);
  assert.equal(spec({ bounding }, ['/proc/kcore']), false);
  assert.equal(spec({ bounding: ['CAP_SYS_ADMIN'] }), false);
  assert.equal(spec(undefined), false);
});

test('what is no configuration is none', () => {
  for (const json of [undefined, null, 1, 'x']) assert.equal(parseOciSpec(json), undefined);
});
