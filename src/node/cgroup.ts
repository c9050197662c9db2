/** Container IDs as cgroup paths and mount points spell them. Text to candidates; nothing is read here. */

const maxCandidates = 8;
const maxCgroupBytes = 16_384;
/** The IDs that runtimes accept; it also keeps `..` and `/` out of paths that are made from them. */
const idForm = /^[A-Za-z0-9][A-Za-z0-9_.+-]{0,254}$/;
const longId = /^[0-9a-f]{64}$/;
/** Scopes of systemd: `docker-<id>.scope`, `cri-containerd-<id>.scope`, `libpod-<id>.scope`, `crio-<id>.scope`. */
const scopedId = /^(?:[a-z][a-z-]{0,30}-)?([0-9a-f]{64})(?:\.scope)?$/;
/** Not containers: the monitors that podman and cri-o start beside each container. */
const monitor = /^(?:libpod|crio)-conmon-/;

/**
 * What may be the container's ID by the text of `/proc/<pid>/cgroup`, likeliest first, at most 8: IDs of 64
 * hexadecimal digits, then plain names (runc lets its caller choose). A candidate is a question to a runtime.
 * The highest in the tree comes first, since a process may make cgroups of any name below its own, not above.
 */
export function containerIdCandidates(cgroupText: string): string[] {
  const certain = new Set<string>();
  const plain = new Set<string>();
  for (const line of cgroupText.slice(0, maxCgroupBytes).split('\n')) {
    const path = /^\d+:[^:]*:(\/.*)$/.exec(line)?.[1];
    if (path === undefined) continue;
    for (const component of path.split(/[/:]/)) {
      if (monitor.test(component)) continue;
      const id = scopedId.exec(component)?.[1];
      if (id !== undefined) certain.add(id);
      else if (idForm.test(component)) plain.add(component.replace(/\.(scope|slice|service)$/, ''));
    }
  }
  return [...certain, ...plain].slice(0, maxCandidates);
}

/**
 * ID and containerd namespace by the place where a container's root filesystem is mounted, or `undefined`:
 * containerd's shims mount it at `.../io.containerd.runtime.v2.task/<namespace>/<id>/rootfs`, Docker with
 * containerd's image store at `.../rootfs/overlayfs/<id>`. Only the host can mount there: this is proof.
 */
export function idOfMountPoint(
  mountPoint: string,
): { id: string; namespace: string | undefined } | undefined {
  const task = /\/io\.containerd\.[^/]+\/([^/]+)\/([^/]+)\/rootfs$/.exec(mountPoint);
  const [namespace, id] = [task?.[1], task?.[2]];
  if (id !== undefined && idForm.test(id)) return { id, namespace };
  const docker = /\/rootfs\/overlayfs\/([^/]+)$/.exec(mountPoint)?.[1];
  return docker !== undefined && longId.test(docker) ? { id: docker, namespace: 'moby' } : undefined;
}
