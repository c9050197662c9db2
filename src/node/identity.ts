/** What is known of one container: what policies ask about it, and what its documents say of it. */

import type { Workload } from '../policy/types.ts';

/** For every field: a value is known, `null` is known to be absent, `undefined` is not known yet. */
export interface ContainerIdentity {
  readonly id: string | undefined;
  /** Which runtime told: `containerd`, `docker`, `podman`, `cri-o` or `runc`. */
  readonly runtime: string | undefined;
  /** What runs it on a kernel of its own, such as `io.containerd.runsc.v1`: this machine's kernel sees nothing of it. */
  readonly unseenIn?: string | undefined;
  readonly name: string | null | undefined;
  /** Digests of the image's manifest, for example `sha256:...`; empty when the runtime does not say. */
  readonly imageDigests: readonly string[];
  readonly privileged: boolean | undefined;
  /** `null` for a container outside of Kubernetes. */
  readonly pod: PodIdentity | null | undefined;
  readonly workload: Workload;
  /**
   * The runtime has told what is no image reference, such as a bare image ID, or its data are elsewhere: the image stays unknown, and
   * nobody can tell more.
   */
  readonly isImageUnreadable?: boolean;
}

export interface PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string | undefined;
  readonly labels: ReadonlyMap<string, string> | undefined;
  readonly annotations: ReadonlyMap<string, string> | undefined;
  readonly ips: readonly string[];
  /** The kind of what made the pod, for example `ReplicaSet`; no runtime knows it. */
  readonly ownerKind?: string | undefined;
}

/** Nothing is known. */
export const unknownIdentity: ContainerIdentity = Object.freeze({
  id: undefined,
  runtime: undefined,
  name: undefined,
  imageDigests: [],
  privileged: undefined,
  pod: undefined,
  workload: {
    image: undefined,
    namespace: undefined,
    podName: undefined,
    podLabels: undefined,
    clusterId: undefined,
    clusterName: undefined,
  },
});

/**
 * Whether asking the runtimes again cannot tell more. The cluster's name and ID come from the configuration,
 * so they do not count.
 */
export function isComplete({ workload, isImageUnreadable = false }: ContainerIdentity): boolean {
  return (
    (workload.image !== undefined || isImageUnreadable) &&
    workload.namespace !== undefined &&
    workload.podName !== undefined &&
    workload.podLabels !== undefined
  );
}
