/**
 * Where a container runs decides which policies may apply to it and whether what they block is refused: a plain host has
 * one answer for all of its containers, a node of a cluster one for each namespace.
 */

import type { GateMode } from '../native/contract.ts';
import type { NodePod } from '../nodePod.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import { bindPod } from '../policy/policyIndex.ts';
import type { Generation } from '../sources/directory.ts';
import type { ContainerIdentity, PodIdentity } from './identity.ts';

/** What a container is bound to. */
export interface Basis {
  readonly policies: readonly CompiledPolicy[];
  readonly mode: GateMode;
  /** Number of the generation. */
  readonly generation: number;
}

export interface Place {
  /** All policies there are now. */
  generation(): Generation;
  /** The identity with what this place knows better than a runtime does. */
  complete(identity: ContainerIdentity): ContainerIdentity;
  /** `null`: the container is left alone, whatever policies say. `undefined`: it cannot be told yet. */
  basisOf(identity: ContainerIdentity): Basis | null | undefined;
  /** What pods claim and the node does not find, or the other way round. */
  differences(): readonly PodDifference[];
  close(): Promise<void>;
}

/**
 * Opens a place. `changed` is called when answers of `basisOf` or `complete` may have changed: for the containers of
 * one pod, of one namespace, or for all.
 */
export type OpenPlace = (changed: (concerned?: Concerned) => void) => Promise<Place>;

export interface Concerned {
  readonly namespace: string;
  /** Left out: every pod of the namespace. */
  readonly podName?: string;
}

/** A pod whose annotations say something else than the node's own binding. */
export interface PodDifference {
  readonly pod: NodePod;
  /** IDs with commas between, as annotations have them. */
  readonly found: string;
  readonly expected: string;
}

/** What is known of the cluster. All of it may be old while the API server is away, and nothing is forgotten then. */
export interface ClusterView {
  /** Number 0 until they have been read once. */
  generation(): Generation;
  /** Whether a file of this machine makes the policy. */
  isOfFile(policyId: string): boolean;
  readonly hasFiles: boolean;
  /** `null`: not opted in, or may never be. `undefined`: not known yet. */
  modeOf(namespace: string): GateMode | null | undefined;
  /** The pod of this node, unless its name was used again for another one. */
  podOf(pod: PodIdentity): NodePod | undefined;
  pods(): readonly NodePod[];
  /** UID of the namespace kube-system; `undefined` until namespaces have been read. */
  clusterId(): string | undefined;
  close(): Promise<void>;
}

/** One generation and one mode for every container. */
export function plainHost(
  source: { current(): Generation; close(): void },
  mode: GateMode,
  clusterId: string | undefined,
): Place {
  return {
    generation: source.current,
    complete: (identity) => withCluster(identity, clusterId),
    basisOf() {
      const { number, policies } = source.current();
      return { policies, mode, generation: number };
    },
    differences: () => [],
    async close() {
      source.close();
    },
  };
}

/** `mode` is the upper bound: with `observe` nothing is enforced, whatever a namespace says. */
export function clusterNode(view: ClusterView, mode: GateMode, clusterName: string | undefined): Place {
  const boundBy = (wanted: GateMode): GateMode => (mode === 'observe' ? 'observe' : wanted);
  const podBasis = (namespace: string): Basis | null | undefined => {
    const wanted = view.modeOf(namespace);
    if (wanted === null || wanted === undefined) return wanted;
    const { number, policies } = view.generation();
    if (number === 0 || view.clusterId() === undefined) return undefined;
    return { policies, mode: boundBy(wanted), generation: number };
  };
  /** What was found for a version of a pod and a generation, so that a look at all pods costs nothing. */
  const seen = new WeakMap<NodePod, { generation: number; difference: PodDifference | undefined }>();

  const differenceOf = (pod: NodePod): PodDifference | undefined => {
    if (pod.isFinished || pod.fileUid !== undefined) return undefined;
    const basis = podBasis(pod.namespace);
    if (basis === null || basis === undefined) return undefined;
    const before = seen.get(pod);
    if (before?.generation === basis.generation) return before.difference;
    const { applies, undecided } = bindPod(view.generation().index, {
      images: pod.images,
      podLabels: pod.labels,
      podName: { name: pod.name },
      namespace: pod.namespace,
      clusterId: view.clusterId(),
      clusterName,
    });
    const expected = [applies.join(','), undecided.join(',')].join(';');
    const found = [pod.claimedPolicies ?? '', pod.claimedUndecided ?? ''].join(';');
    const difference =
      expected === found
        ? undefined
        : { pod, found: found.replace(/;$/, ''), expected: expected.replace(/;$/, '') };
    seen.set(pod, { generation: basis.generation, difference });
    return difference;
  };

  /** What was told for an identity with this version of its pod, so that each event of it is told the same object. */
  const completed = new WeakMap<
    ContainerIdentity,
    { pod: NodePod | undefined; clusterId: string | undefined; whole: ContainerIdentity }
  >();

  return {
    generation: view.generation,
    complete(identity) {
      const clusterId = view.clusterId();
      const pod = identity.pod ? view.podOf(identity.pod) : undefined;
      const before = completed.get(identity);
      if (before !== undefined && before.pod === pod && before.clusterId === clusterId) return before.whole;
      const whole = withPod(withCluster(identity, clusterId), pod);
      completed.set(identity, { pod, clusterId, whole });
      return whole;
    },
    basisOf({ pod }) {
      if (pod === undefined) return undefined;
      if (pod !== null) return podBasis(pod.namespace);
      // Not of a pod: nobody could opt it in but who installed files for it.
      if (!view.hasFiles) return null;
      const { number, policies } = view.generation();
      if (number === 0) return undefined;
      const ofFiles = policies.filter(({ id }) => view.isOfFile(id));
      return ofFiles.length === 0 ? null : { policies: ofFiles, mode, generation: number };
    },
    differences: () => view.pods().flatMap((pod) => differenceOf(pod) ?? []),
    close: view.close,
  };
}

function withPod(identity: ContainerIdentity, pod: NodePod | undefined): ContainerIdentity {
  if (pod === undefined || !identity.pod) return identity;
  const { labels, annotations, ips, ownerKind } = pod;
  return {
    ...identity,
    pod: { ...identity.pod, labels, annotations, ips: ips.length > 0 ? ips : identity.pod.ips, ownerKind },
    workload: { ...identity.workload, podLabels: labels },
  };
}

function withCluster(identity: ContainerIdentity, clusterId: string | undefined): ContainerIdentity {
  const { workload } = identity;
  if (clusterId === undefined || workload.clusterId !== undefined || !identity.pod) return identity;
  return { ...identity, workload: { ...workload, clusterId } };
}
