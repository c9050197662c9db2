/**
 * The place of an agent on a node of a cluster: policies from ContainerPolicies (and a directory), modes of namespaces,
 * and the pods of this node.
 *
 * Owns the connection to the API server and its watches. Nothing here waits for the API server: what is not known yet is
 * `undefined`, and the gate holds what depends on it.
 */

import { hostname } from 'node:os';
import { environment } from '../config.ts';
import type { GateError } from '../errors.ts';
import type { Mode } from '../events/observation.ts';
import { openCluster } from '../kubernetes/client.ts';
import { openEventWriter } from '../kubernetes/eventWriter.ts';
import { defaultNamespace, neverTouched } from '../kubernetes/names.ts';
import { watchNode } from '../kubernetes/nodeView.ts';
import { followPolicies } from '../kubernetes/policySource.ts';
import { clusterNode, type OpenPlace, type PodDifference } from '../node/place.ts';

export interface NodeCluster {
  readonly nodeName: string;
  /** Namespaces that are never gated, whatever their labels say. */
  readonly neverOptIn: readonly string[];
  /** @throws FILE_UNREADABLE, POLICIES_INVALID from what it gives */
  readonly place: OpenPlace;
  /** `true` once everything has been read; `false` when it ended before. Never rejects. */
  readonly ready: Promise<boolean>;
  /** Writes an Event beside the pod. */
  tellDifference(difference: PodDifference): void;
  /** Writes an Event beside the node: why nothing is gated on it. */
  tellUngated(error: GateError): void;
  /** Writes an Event beside the node: why no rule is enforced on it. */
  tellUnenforceable(reason: string): void;
  close(): Promise<void>;
}

export interface NodeClusterOptions {
  readonly kubeconfig: string | undefined;
  readonly policies: string | undefined;
  readonly mode: Mode;
  readonly clusterName: string | undefined;
  readonly clusterId: string | undefined;
  /** Namespaces that can never opt in, besides kube-system and the pod's own. */
  readonly excludedNamespaces: readonly string[];
}

/** @throws KUBERNETES_CONFIG */
export async function openNodeCluster(options: NodeClusterOptions): Promise<NodeCluster> {
  const { kubeconfig, policies: directory, mode, clusterName, clusterId, excludedNamespaces } = options;
  const cluster = await openCluster(kubeconfig === undefined ? {} : { kubeconfig });
  const nodeName = environment.nodeName ?? hostname();
  const ownNamespace = (kubeconfig === undefined ? cluster.namespace : undefined) ?? defaultNamespace;
  const events = openEventWriter(cluster, { component: 'agent', instance: nodeName });
  const neverOptIn = [...new Set([...neverTouched(ownNamespace), ...excludedNamespaces])];
  const { promise: ready, resolve: settleReady } = Promise.withResolvers<boolean>();

  const place: OpenPlace = async (changed) => {
    const source = await followPolicies(cluster, {
      ...(directory !== undefined && { directory }),
      ...(clusterName !== undefined && { clusterName }),
      onGeneration: () => changed(),
    });
    const view = watchNode(cluster, {
      nodeName,
      neverOptIn: new Set(neverOptIn),
      onChange: changed,
    });
    void Promise.all([source.ready, view.ready]).then((each) => each.every(Boolean) && settleReady(true));
    return clusterNode(
      {
        ...view,
        generation: source.current,
        isOfFile: source.hasFile,
        hasFiles: directory !== undefined,
        clusterId: () => clusterId ?? view.clusterId(),
        async close() {
          await Promise.all([source.close(), view.close()]);
        },
      },
      mode,
      clusterName,
    );
  };

  const tellOfNode = (note: string): void =>
    events.tell({
      regarding: { apiVersion: 'v1', kind: 'Node', name: nodeName, uid: nodeName },
      reason: 'NotEnforceable',
      action: 'OpenGate',
      note,
    });

  return {
    nodeName,
    neverOptIn,
    place,
    ready,
    tellDifference: ({ pod: { name, namespace, uid }, found, expected }) =>
      events.tell({
        regarding: { apiVersion: 'v1', kind: 'Pod', name, namespace, uid },
        reason: 'PolicyAnnotationDiffers',
        action: 'Bind',
        note: `node \`${nodeName}\` gates this pod by \`${expected}\`; its annotation says \`${found}\``,
      }),
    tellUngated: ({ message, code }) =>
      tellOfNode(
        `${code === 'KEEPER_VERSION' ? 'an agent of this node binds nothing' : 'no container of this node is gated'}: ${message} (${code})`,
      ),
    tellUnenforceable: tellOfNode,
    async close() {
      settleReady(false);
      await events.close();
      cluster.close();
    },
  };
}
