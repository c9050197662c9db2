/** What one node keeps of each of its pods: read from the API server in `kubernetes`, bound to policies in `node`. */

/** A pod as the API server has it now. */
export interface NodePod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** For a pod that the kubelet has from a file: the UID by which its runtime knows it. */
  readonly fileUid: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  readonly ips: readonly string[];
  /** For example `ReplicaSet`. */
  readonly ownerKind: string | undefined;
  /** As written in the pod, of every container. */
  readonly images: readonly string[];
  readonly isFinished: boolean;
  /** What the webhook wrote; `undefined`: the pod says nothing. */
  readonly claimedPolicies: string | undefined;
  readonly claimedUndecided: string | undefined;
}
