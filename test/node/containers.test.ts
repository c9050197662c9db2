import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openContainerd } from '../../src/node/containerd.ts';
import { isOwnKernel, openContainers } from '../../src/node/containers.ts';
import { isComplete } from '../../src/node/identity.ts';
import { createRecord } from '../support/containerdRecords.ts';
import { type ContainerHost, containerHost, requirements } from '../support/containers.ts';
import { withHostTree } from './hostTree.ts';

const box = { fullName: 'registry.example/d4c-gate/box', name: 'box', tag: '1.0', digest: null };
const outsideOfKubernetes = {
  namespace: null,
  podName: null,
  podLabels: null,
  clusterId: null,
  clusterName: null,
};

describe('real containers', { skip: requirements('containerd') }, () => {
  let host: ContainerHost;
  before(async () => {
    host = await containerHost();
  });
  after(() => host.close());

  const identify = async (
    sighting: { mountPoint?: string; pid?: number },
    sockets = [host.containerdSocket],
  ) => {
    const errors: unknown[] = [];
    const containers = openContainers({
      containerdSockets: sockets,
      deadlineMs: 2_000,
      clusterName: 'prod',
      onError: (error) => errors.push(error),
    });
    try {
      return { ...(await containers.identify(sighting)), errors };
    } finally {
      containers.close();
    }
  };

  test('containerd knows a container by its mount point, in any of its namespaces', async () => {
    const container = await host.startContainerd({ namespace: 'other' });
    const mountPoint = `${host.containerdState}/io.containerd.runtime.v2.task/other/${container.id}/rootfs`;
    const identity = await identify({ mountPoint });
    assert.deepEqual(identity.workload, { image: box, ...outsideOfKubernetes });
    assert.equal(identity.id, container.id);
    assert.equal(identity.runtime, 'containerd');
    assert.match(identity.imageDigests[0] ?? '', /^sha256:[0-9a-f]{64}$/);
    assert.deepEqual(identity.errors, []);
  });

  test('containerd knows a container by a process of it', async () => {
    const container = await host.startContainerd();
    const { id, workload } = await identify({ pid: container.pid });
    assert.deepEqual([id, workload.image], [container.id, box]);
  });

  test('a container of the kubelet has the labels that its pod has, not those of the pause image', async () => {
    await host.startContainerd({ namespace: 'k8s.io' });
    const pod = {
      'io.kubernetes.cri.sandbox-id': 'sandbox-1',
      'io.kubernetes.cri.sandbox-name': 'web-0',
      'io.kubernetes.cri.sandbox-namespace': 'shop',
    };
    await createRecord(host.containerdSocket, {
      id: 'sandbox-1',
      image: 'registry.example/pause:3',
      labels: { app: 'web', 'of-the-pause-image': 'yes' },
      annotations: { ...pod, 'io.kubernetes.cri.container-type': 'sandbox' },
      sandbox: {
        Version: 'v1',
        Metadata: {
          IP: '10.1.2.3',
          AdditionalIPs: ['fd00::3'],
          Config: { labels: { app: 'web', 'io.kubernetes.pod.name': 'web-0' }, annotations: { note: 'x' } },
        },
      },
    });
    await createRecord(host.containerdSocket, {
      id: 'app-1',
      runtime: 'io.containerd.runsc.v1',
      image: `sha256:${'a'.repeat(64)}`,
      annotations: {
        ...pod,
        'io.kubernetes.cri.container-type': 'container',
        'io.kubernetes.cri.container-name': 'app',
        'io.kubernetes.cri.image-name': 'nginx:1.25',
      },
    });
    for (const [id, name, image, unseenIn] of [
      ['app-1', 'app', 'nginx', 'io.containerd.runsc.v1'] as const,
      ['sandbox-1', null, 'pause', undefined] as const,
    ]) {
      const mountPoint = `/x/io.containerd.runtime.v2.task/k8s.io/${id}/rootfs`;
      const identity = await identify({ mountPoint });
      assert.deepEqual(
        [identity.name, identity.workload.image?.name, identity.unseenIn],
        [name, image, unseenIn],
      );
      assert.deepEqual(identity.pod, {
        name: 'web-0',
        namespace: 'shop',
        uid: undefined,
        labels: new Map([['app', 'web']]),
        annotations: new Map([['note', 'x']]),
        ips: ['10.1.2.3', 'fd00::3'],
      });
      assert.equal(identity.workload.clusterName, 'prod');
      assert.equal(isComplete(identity), true);
    }
  });

  test('an image that containerd knows by its ID alone is unknown, and is not asked for again', async () => {
    const image = `sha256:${'c'.repeat(64)}`;
    await createRecord(host.containerdSocket, { id: 'untagged', image, labels: {}, annotations: {} });
    const mountPoint = '/x/io.containerd.runtime.v2.task/k8s.io/untagged/rootfs';
    const identity = await identify({ mountPoint });
    assert.deepEqual([identity.id, identity.workload.image], ['untagged', undefined]);
    assert.equal(isComplete(identity), true);
  });

  test('the image stays unknown while containerd does not answer', async () => {
    const container = await host.startContainerd();
    const identity = await identify({ pid: container.pid }, ['/nonexistent.sock']);
    assert.equal(identity.id, container.id);
    assert.equal(identity.workload.image, undefined);
    assert.equal(isComplete(identity), false);
  });

  test('runc knows a container by a process of it, and its image by annotation', async () => {
    const annotations = { 'org.opencontainers.image.ref.name': 'nginx:1.25' };
    const container = await host.startRunc({ annotations });
    const { id, runtime, workload } = await identify({ pid: container.pid });
    assert.deepEqual([id, runtime], [container.id, 'runc']);
    assert.deepEqual(workload, {
      image: { fullName: 'docker.io/library/nginx', name: 'nginx', tag: '1.25', digest: null },
      ...outsideOfKubernetes,
    });
  });

  test('runc knows a container by its mount point, and that a bundle has no image', async () => {
    const container = await host.startRunc();
    const identity = await identify({ mountPoint: `${host.folder}/${container.id}/rootfs` });
    assert.equal(identity.id, container.id);
    assert.equal(identity.workload.image, null);
    assert.equal(isComplete(identity), true);
  });

  test('a process of the host is no container', async () => {
    assert.equal((await identify({ pid: process.pid })).id, undefined);
  });

  test('a process that has gone is nobody', async () => {
    const identity = await identify({ pid: 2 ** 22 + 1, mountPoint: '/nowhere' });
    assert.deepEqual([identity.id, identity.errors], [undefined, []]);
  });
});

test('a containerd that was restarted is asked again, without an error', {
  skip: requirements('containerd'),
}, async () => {
  const host = await containerHost();
  const containerd = openContainerd([host.containerdSocket], 2_000);
  try {
    const socket = await host.openContainerd();
    assert.equal(await containerd.find(['kept'], 'k8s.io'), undefined);
    const image = 'registry.example/web:1';
    await createRecord(socket, { id: 'kept', image, labels: { app: 'web' }, annotations: { note: 'x' } });
    const before = await containerd.find(['kept'], 'k8s.io');
    assert.deepEqual([before?.image, before?.labels.get('app')], [image, 'web']);
    await host.restartContainerd();
    assert.deepEqual(await containerd.find(['nobody', 'kept'], undefined), before);
  } finally {
    containerd.close();
    await host.close();
  }
});

const id = 'a'.repeat(64);
const sandbox = 'b'.repeat(64);
const identifyIn = async (files: Record<string, unknown>, mountPoint: string) => {
  let found: Awaited<ReturnType<ReturnType<typeof openContainers>['identify']>> | undefined;
  await withHostTree(files, async (hostRoot) => {
    const containers = openContainers({
      containerdSockets: [],
      deadlineMs: 100,
      hostRoot,
      clusterName: 'c1',
    });
    found = await containers.identify({ mountPoint });
    containers.close();
  });
  assert.ok(found);
  return found;
};

for (const [runtime, has] of [
  ['io.containerd.runsc.v1', true],
  ['io.containerd.kata.v2', true],
  ['io.containerd.kata-qemu.v2', true],
  ['aws.firecracker', true],
  ['/usr/bin/containerd-shim-runsc-v1', true],
  ['io.containerd.runc.v2', false],
  ['io.containerd.katana.v1', false],
] as const) {
  test(`${runtime} ${has ? 'has' : 'shares'} ${has ? 'a kernel of its own' : "the machine's kernel"}`, () => {
    assert.equal(isOwnKernel(runtime), has);
  });
}

test('cri-o: image and pod by annotation, labels from the sandbox', async () => {
  const pod = {
    'io.container.manager': 'cri-o',
    'io.kubernetes.cri-o.SandboxID': sandbox,
    'io.kubernetes.pod.name': 'web-0',
    'io.kubernetes.pod.namespace': 'shop',
  };
  const files = {
    [`/run/runc/${id}/state.json`]: { config: { rootfs: '/storage/web', labels: ['bundle=/b/web'] } },
    '/b/web/config.json': {
      annotations: {
        ...pod,
        'io.kubernetes.cri-o.ContainerType': 'container',
        'io.kubernetes.cri-o.ImageName': 'quay.io/shop/web:2',
        'io.kubernetes.container.name': 'app',
      },
    },
    [`/run/runc/${sandbox}/state.json`]: { config: { rootfs: '/storage/s', labels: ['bundle=/b/s'] } },
    '/b/s/config.json': {
      annotations: {
        ...pod,
        'io.kubernetes.cri-o.ContainerType': 'sandbox',
        'io.kubernetes.cri-o.Labels': '{"app":"web","io.kubernetes.pod.uid":"u"}',
      },
    },
  };
  const identity = await identifyIn(files, '/storage/web');
  assert.equal(identity.name, 'app');
  assert.equal(identity.runtime, 'cri-o');
  assert.deepEqual(identity.workload, {
    image: { fullName: 'quay.io/shop/web', name: 'web', tag: '2', digest: null },
    namespace: 'shop',
    podName: { name: 'web-0' },
    podLabels: new Map([['app', 'web']]),
    clusterId: undefined,
    clusterName: 'c1',
  });
  const { [`/run/runc/${sandbox}/state.json`]: _, ...withoutSandbox } = files;
  const early = await identifyIn(withoutSandbox, '/storage/web');
  assert.equal(early.workload.podLabels, undefined);
  assert.equal(isComplete(early), false);
});

test('podman: image and name from its storage, and unknown while they cannot be read', async () => {
  const files = {
    [`/run/crun/${id}/status`]: { rootfs: '/storage/cache', bundle: '/b/cache' },
    '/b/cache/config.json': { annotations: { 'io.container.manager': 'libpod' } },
  };
  const storage = '/var/lib/containers/storage/overlay-containers/containers.json';
  const entry = { id, names: ['cache'], metadata: '{"image-name":"docker.io/library/redis:7"}' };
  const known = await identifyIn({ ...files, [storage]: [entry] }, '/storage/cache');
  assert.deepEqual([known.runtime, known.name, known.workload.image?.name], ['podman', 'cache', 'redis']);
  assert.equal(known.pod, null);
  assert.equal((await identifyIn(files, '/storage/cache')).workload.image, undefined);
});

test('what a runtime calls an image and is no reference leaves the image unknown, and is not asked for again', async () => {
  const files = {
    [`/run/crun/${id}/status`]: { rootfs: '/storage/cache', bundle: '/b/cache' },
    '/b/cache/config.json': { annotations: { 'io.container.manager': 'libpod' } },
    '/var/lib/containers/storage/overlay-containers/containers.json': [
      { id, names: ['cache'], metadata: JSON.stringify({ 'image-name': 'a'.repeat(64) }) },
    ],
  };
  const identity = await identifyIn(files, '/storage/cache');
  assert.equal(identity.workload.image, undefined);
  assert.equal(isComplete(identity), true);
});

const stateOfDocker = {
  [`/run/docker/runtime-runc/moby/${id}/state.json`]: { config: { rootfs: '/o/merged', labels: [] } },
};
const stateOfPodman = {
  [`/run/crun/${id}/status`]: { rootfs: '/o/merged', bundle: '/b/cache' },
  '/b/cache/config.json': { annotations: { 'io.container.manager': 'libpod' } },
};
for (const { engine, files, isAskedAgain, because } of [
  { engine: 'docker', files: stateOfDocker, isAskedAgain: false, because: 'has its data elsewhere' },
  { engine: 'podman', files: stateOfPodman, isAskedAgain: false, because: 'has its data elsewhere' },
  {
    engine: 'podman',
    files: {
      ...stateOfPodman,
      '/var/lib/containers/storage/overlay-containers/containers.json': [{ id: 'of-somebody-else' }],
    },
    isAskedAgain: false,
    because: 'has another storage than that of root',
  },
  {
    engine: 'podman',
    files: {
      ...stateOfPodman,
      '/var/lib/containers/storage/overlay-containers/containers.json': [{ id, names: ['of-a-folder'] }],
    },
    isAskedAgain: false,
    because: 'knows no image',
  },
  {
    engine: 'podman',
    files: { ...stateOfPodman, '/var/lib/containers/storage/overlay-containers/containers.json': '[' },
    isAskedAgain: true,
    because: 'has a storage that cannot be read now',
  },
]) {
  test(`an image of ${engine} that ${because} is unknown and ${isAskedAgain ? '' : 'not '}asked for again`, async () => {
    const identity = await identifyIn(files, '/o/merged');
    assert.deepEqual([identity.runtime, identity.workload.image], [engine, undefined]);
    assert.equal(isComplete(identity), !isAskedAgain);
  });
}

test('Docker: image and name from its own files', async () => {
  const identity = await identifyIn(
    {
      [`/run/docker/runtime-runc/moby/${id}/state.json`]: { config: { rootfs: '/o/merged', labels: [] } },
      [`/var/lib/docker/containers/${id}/config.v2.json`]: { Name: '/web', Config: { Image: 'nginx' } },
    },
    '/o/merged',
  );
  assert.deepEqual([identity.runtime, identity.name], ['docker', 'web']);
  assert.equal(identity.workload.image?.fullName, 'docker.io/library/nginx');
});
