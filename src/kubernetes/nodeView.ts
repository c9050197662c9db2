/**
 * What the agent of one node keeps of the cluster: the modes of all namespaces and the pods of its own node.
 *
 * Owns two watches. While the API server is away the last state stays; before the first list nothing is known, which is
 * not the same as not opted in.
 */

import { beginningsOf, type NodePod } from '../nodePod.ts';
import type { Cluster } from './client.ts';
import type { Pod } from './kinds.ts';
import { policiesKey, undecidedKey } from './names.ts';
import { type NamespaceMode, watchNamespaceModes } from './namespaceModes.ts';
import type { Change } from './store.ts';
import { type WatchTimes, watch } from './watches.ts';

export interface NodeViewOptions {
  readonly nodeName: string;
  /** Namespaces that can never opt in, whatever their labels say. */
  readonly neverOptIn: ReadonlySet<string>;
  /** The containers of a namespace, of one of its pods, or all are to be looked at again. */
  readonly onChange: (concerned?: { readonly namespace: string; readonly podName?: string }) => void;
  readonly times?: Partial<WatchTimes>;
}

export interface NodeView {
  /** `true` once namespaces and pods have been read; `false` when it was closed before. Never rejects. */
  readonly ready: Promise<boolean>;
  /** `null`: not opted in, or never can. `undefined`: not known yet. */
  modeOf(namespace: string): NamespaceMode | null | undefined;
  /** By namespace and name; `undefined` also for a pod of that name with another UID. */
  podOf(pod: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string | undefined;
  }): NodePod | undefined;
  pods(): readonly NodePod[];
  /** The UID of kube-system, by which a cluster is known. */
  clusterId(): string | undefined;
  close(): Promise<void>;
}

/** Set by the kubelet on the object that stands for a pod from a file. */
const fileUidKey = 'kubernetes.io/config.mirror';

/** Starts at once and never throws. */
export function watchNode(cluster: Cluster, options: NodeViewOptions): NodeView {
  const { nodeName, neverOptIn, onChange } = options;
  const times = options.times === undefined ? {} : { times: options.times };
  const namespaces = watchNamespaceModes(cluster, times);
  let hasNamespaces = false;
  namespaces.subscribe((names) => {
    if (hasNamespaces) for (const namespace of names) onChange({ namespace });
  });
  void namespaces.ready.then((isReady) => {
    hasNamespaces = isReady;
  });
  const pods = watch(cluster, 'pods', {
    ...times,
    fieldSelector: `spec.nodeName=${nodeName}`,
    project: nodePodOf,
    onChange(changes) {
      for (const change of changes) {
        const { namespace, name: podName } = change.object;
        if (pods.synced && concernsBinding(change)) onChange({ namespace, podName });
      }
    },
  });
  for (const { ready } of [namespaces, pods]) void ready.then((isReady) => isReady && onChange());

  return {
    ready: Promise.all([namespaces.ready, pods.ready]).then((each) => each.every(Boolean)),
    modeOf(namespace) {
      if (neverOptIn.has(namespace)) return null;
      const known = hasNamespaces ? namespaces.get(namespace) : undefined;
      return known === undefined ? undefined : (known.mode ?? null);
    },
    podOf({ namespace, name, uid }) {
      const pod = pods.get(name, namespace);
      return pod !== undefined && (uid === undefined || uid === pod.uid || uid === pod.fileUid)
        ? pod
        : undefined;
    },
    pods: () => pods.list(),
    clusterId: () => namespaces.get('kube-system')?.uid || undefined,
    async close() {
      await Promise.all([namespaces.close(), pods.close()]);
    },
  };
}

/** What is kept of a pod. Total, whatever the object is. */
export function nodePodOf({ metadata, spec, status }: Pod): NodePod {
  const {
    name = '',
    namespace = '',
    uid = '',
    labels = {},
    annotations = {},
    ownerReferences = [],
  } = metadata;
  const containers = [spec?.initContainers, spec?.containers, spec?.ephemeralContainers];
  return {
    name,
    namespace,
    uid,
    fileUid: annotations[fileUidKey],
    labels: new Map(Object.entries(labels)),
    annotations: beginningsOf(new Map(Object.entries(annotations))),
    ips: (status?.podIPs ?? []).map(({ ip }) => ip),
    ownerKind: ownerReferences.find(({ controller }) => controller === true)?.kind,
    images: containers.flatMap((each) => each ?? []).map(({ image = '' }) => image),
    isFinished: status?.phase === 'Succeeded' || status?.phase === 'Failed',
    claimedPolicies: annotations[policiesKey],
    claimedUndecided: annotations[undecidedKey],
  };
}

/** Whether a runtime that told of the pod before may have told something else. */
function concernsBinding(change: Change<NodePod>): boolean {
  if (change.type !== 'changed') return change.type === 'added';
  const { labels, uid } = change.object;
  const { labels: before, uid: uidBefore } = change.previous;
  if (uid !== uidBefore || labels.size !== before.size) return true;
  return [...labels].some(([key, value]) => before.get(key) !== value);
}
