import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerIdCandidates, idOfMountPoint } from '../../src/node/cgroup.ts';

const id = '0123456789abcdef'.repeat(4);
const other = 'f'.repeat(64);

const certain: readonly { path: string; because: string }[] = [
  { path: `/docker/${id}`, because: 'Docker with cgroupfs' },
  { path: `/system.slice/docker-${id}.scope`, because: 'Docker with systemd' },
  { path: `/kubepods/burstable/pod9d8c/${id}`, because: 'the kubelet with cgroupfs' },
  {
    path: `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-${id}.scope`,
    because: 'the kubelet with systemd and containerd',
  },
  { path: `/kubepods.slice/kubepods-pod1.slice/crio-${id}.scope`, because: 'cri-o' },
  { path: `/machine.slice/libpod-${id}.scope/container`, because: 'podman splits its cgroup' },
  {
    path: `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope`,
    because: 'rootless',
  },
  { path: `/machine.slice/libpod-${id}.scope/libpod-payload-${id}`, because: 'podman with a payload group' },
  { path: `/system.slice/nerdctl-${id}.scope`, because: 'nerdctl' },
  { path: `/k8s.io/${id}`, because: 'containerd names the folder by its namespace' },
  { path: `/system.slice:docker:${id}`, because: 'a systemd path given to cgroupfs' },
  { path: `/docker/${id}/docker/${other}`, because: 'a process may name a cgroup below its own as it likes' },
];

for (const { path, because } of certain) {
  test(`finds the ID in ${path.replaceAll(id, '<id>').replaceAll(other, '<other>')}: ${because}`, () => {
    assert.equal(containerIdCandidates(`0::${path}\n`)[0], id);
    assert.equal(containerIdCandidates(`9:memory:/\n4:cpu,cpuacct:${path}\n0::${path}\n`)[0], id);
  });
}

test('a plain name is a candidate: runc lets its caller choose', () => {
  assert.deepEqual(containerIdCandidates('4:memory:/my/web-1\n0::/\n'), ['my', 'web-1']);
});

test('the monitors of podman and cri-o are no containers', () => {
  assert.deepEqual(containerIdCandidates(`0::/machine.slice/libpod-conmon-${id}.scope`), ['machine']);
});

test('a candidate never leads out of the folder it is looked for in', () => {
  for (const path of ['/../../etc', '/.', '/..', '/a b', '/%2e%2e', `/${'x'.repeat(300)}`]) {
    for (const candidate of containerIdCandidates(`0::${path}`)) {
      assert.match(candidate, /^[A-Za-z0-9][A-Za-z0-9_.+-]{0,254}$/);
    }
  }
});

test('a cgroup path made to hurt costs little and gives at most 8 candidates', () => {
  const start = performance.now();
  assert.ok(containerIdCandidates(`0::${'/a-'.repeat(1 << 20)}`).length <= 8);
  assert.ok(containerIdCandidates(`0::/${'-'.repeat(1 << 20)}`).length <= 8);
  assert.ok(performance.now() - start < 200);
});

test('a mount point of containerd or Docker carries the ID', () => {
  const task = `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${id}/rootfs`;
  assert.deepEqual(idOfMountPoint(task), { id, namespace: 'k8s.io' });
  assert.deepEqual(idOfMountPoint('/run/k3s/containerd/io.containerd.runtime.v2.task/default/web/rootfs'), {
    id: 'web',
    namespace: 'default',
  });
  assert.deepEqual(idOfMountPoint(`/var/lib/docker/rootfs/overlayfs/${id}`), { id, namespace: 'moby' });
});

test('other mount points do not', () => {
  for (const path of ['/', '/var/lib/docker/overlay2/abc/merged', '/tmp/web/rootfs', '/a/../rootfs']) {
    assert.equal(idOfMountPoint(path), undefined);
  }
});
