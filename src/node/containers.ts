/**
 * From a root filesystem (and a process in it) to the container's identity: who it is by its mount point and
 * cgroup, and what it is by asking every runtime that may know, side by side.
 */

import { parseImage } from '../policy/image.ts';
import { containerIdCandidates, idOfMountPoint } from './cgroup.ts';
import { type ContainerdRecord, openContainerd } from './containerd.ts';
import { dockerRecord, type FoundRecord, storageRecord } from './engineStores.ts';
import { type ContainerIdentity, type PodIdentity, unknownIdentity } from './identity.ts';
import { factsOfAnnotations, podLabelsOf } from './ociSpec.ts';
import { type RuntimeRecord, runtimeStates } from './runtimeState.ts';
import { readSmallFile } from './smallFile.ts';

/** Where a container was seen. */
export interface Sighting {
  /** Where its root filesystem is mounted, as this process sees it; left out where several containers share it. */
  readonly mountPoint?: string | undefined;
  /** A process in it, in the agent's pid namespace; absent while none has been seen. */
  readonly pid?: number | undefined;
}

export interface Containers {
  /** What is known now. Never rejects: what could not be asked stays unknown. */
  identify(sighting: Sighting): Promise<ContainerIdentity>;
  close(): void;
}

export interface ContainersOptions {
  readonly containerdSockets: readonly string[];
  /** Milliseconds for each single question to a runtime. */
  readonly deadlineMs: number;
  /** The cluster's configured name; left out when not known. */
  readonly clusterName?: string | undefined;
  /** Where the host's root filesystem is seen (default: `/`). */
  readonly hostRoot?: string;
  /** A runtime that could not be asked, to be counted. */
  readonly onError?: (error: unknown) => void;
}

export function openContainers(options: ContainersOptions): Containers {
  const { deadlineMs, hostRoot = '/', onError = () => undefined } = options;
  const containerd = openContainerd(options.containerdSockets, deadlineMs);
  const states = runtimeStates(hostRoot);
  const unknownOnError = (error: unknown): undefined => {
    onError(error);
    return undefined;
  };

  const lookUp = async ({ mountPoint: seenAt, pid }: Sighting): Promise<ContainerIdentity> => {
    const mountPoint = seenAt === undefined ? undefined : asOnHost(seenAt, hostRoot);
    const mounted = mountPoint === undefined ? undefined : idOfMountPoint(mountPoint);
    const cgroup = pid === undefined ? undefined : await readSmallFile(`/proc/${pid}/cgroup`);
    // INVARIANT: what the host's mount table says goes before what a process may have written itself.
    const ids = mounted === undefined ? containerIdCandidates(cgroup ?? '') : [mounted.id];
    const byMount = await states.find(mounted === undefined ? [] : ids, mountPoint);
    const wanted = byMount === undefined ? ids : [byMount.id];
    const [asked, state] = await Promise.all([
      containerd.find(wanted, mounted?.namespace).catch(unknownOnError),
      byMount ?? states.find(ids, undefined),
    ]);
    const id = asked?.id ?? state?.id ?? mounted?.id;
    if (id === undefined) return unknownIdentity;
    const engine = await engineRecord(id, asked, state, hostRoot);
    const pod = await podOf(asked, state);
    return identityOf(id, asked, state, engine, pod, options);
  };

  /** The pod of a container, and what its sandbox knows of it. */
  const podOf = async (
    asked: ContainerdRecord | undefined,
    state: RuntimeRecord | undefined,
  ): Promise<PodIdentity | null | undefined> => {
    const spec = asked?.spec ?? state?.spec;
    if (spec === undefined) return undefined;
    const facts = factsOfAnnotations(spec.annotations);
    if (facts.manager !== 'cri') return null;
    if (facts.pod === undefined) return undefined;
    const sandboxIds = facts.isSandbox || facts.sandboxId === undefined ? [] : [facts.sandboxId];
    const [sandbox, sandboxState] = await Promise.all([
      facts.isSandbox ? asked : containerd.find(sandboxIds, asked?.namespace).catch(unknownOnError),
      facts.isSandbox ? state : states.find(sandboxIds, undefined),
    ]);
    const ofCrio = sandboxState && factsOfAnnotations(sandboxState.spec.annotations);
    const labels = sandbox?.sandbox?.labels ?? ofCrio?.podLabels;
    return {
      ...facts.pod,
      labels: labels && podLabelsOf(labels),
      annotations: sandbox?.sandbox?.annotations ?? ofCrio?.podAnnotations,
      ips: sandbox?.sandbox?.ips ?? [],
    };
  };

  return {
    identify: (sighting) =>
      lookUp(sighting).catch((error: unknown) => {
        onError(error);
        return unknownIdentity;
      }),
    close: () => containerd.close(),
  };
}

/** Whether a runtime of this name gives each container or pod a kernel of its own: gVisor, Kata, Firecracker. */
export function isOwnKernel(runtime: string): boolean {
  return /(?:^|[./-])(?:runsc|gvisor|kata|firecracker)(?:[./-]|$)/.test(runtime);
}

/** Runtimes name mount points as the host does. */
function asOnHost(mountPoint: string, hostRoot: string): string {
  const isBelow = hostRoot !== '/' && mountPoint.startsWith(`${hostRoot}/`);
  return isBelow ? mountPoint.slice(hostRoot.length) : mountPoint;
}

async function engineRecord(
  id: string,
  asked: ContainerdRecord | undefined,
  state: RuntimeRecord | undefined,
  hostRoot: string,
): Promise<{ runtime: string; record: FoundRecord }> {
  const manager = state?.spec.annotations.get('io.container.manager');
  if (manager === 'libpod') return { runtime: 'podman', record: await storageRecord(id, hostRoot) };
  if (manager === 'cri-o') return { runtime: 'cri-o', record: await storageRecord(id, hostRoot) };
  if (asked?.namespace === 'moby' || state?.stateFolder.includes('/runtime-runc/')) {
    return { runtime: 'docker', record: await dockerRecord(id, hostRoot) };
  }
  const ofContainerd =
    asked !== undefined || state === undefined || state.stateFolder.includes('/containerd/');
  return { runtime: ofContainerd ? 'containerd' : 'runc', record: undefined };
}

function identityOf(
  id: string,
  asked: ContainerdRecord | undefined,
  state: RuntimeRecord | undefined,
  { runtime, record }: { runtime: string; record: FoundRecord },
  pod: PodIdentity | null | undefined,
  { clusterName }: ContainersOptions,
): ContainerIdentity {
  const spec = asked?.spec ?? state?.spec;
  const facts = factsOfAnnotations(spec?.annotations ?? new Map());
  const image = facts.image ?? record?.image ?? asked?.image;
  // Without a reference: plain runc knows no images, and containerd was given none (unless for Docker, which
  // keeps it to itself). The others know one that could not be read.
  const isWithoutImage = runtime === 'runc' || (runtime === 'containerd' && asked !== undefined);
  // What is no reference, a bare image ID say, may still be an image that a policy means: unknown, as at admission.
  const reference = image === undefined ? undefined : parseImage(image);
  const inCluster = <T>(value: T | undefined): T | null | undefined => (pod === null ? null : value);
  const name = facts.containerName ?? record?.name ?? asked?.labels.get('nerdctl/name');
  return {
    id,
    runtime,
    ...(asked?.runtime !== undefined && isOwnKernel(asked.runtime) && { unseenIn: asked.runtime }),
    name: name ?? (runtime === 'runc' || runtime === 'containerd' ? null : undefined),
    imageDigests: asked?.imageDigests ?? [],
    privileged: spec?.privileged,
    pod,
    workload: {
      image: image === undefined && isWithoutImage ? null : reference,
      namespace: inCluster(pod?.namespace),
      podName: inCluster(pod?.name === undefined ? undefined : { name: pod.name }),
      podLabels: inCluster(pod?.labels),
      clusterId: inCluster(undefined),
      clusterName: inCluster(clusterName),
    },
    // Engines write down what a container is before they start it: what is not there then does not come later.
    isImageUnreadable: image === undefined ? record !== undefined : reference === undefined,
  };
}
