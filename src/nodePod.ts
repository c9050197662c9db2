/** What one node keeps of each of its pods: read from the API server in `kubernetes`, bound to policies in `node`. */

/** A pod as the API server has it now. */
export interface NodePod {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  /** For a pod that the kubelet has from a file: the UID by which its runtime knows it. */
  readonly fileUid: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
  /** As much of them as documents tell. */
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

/** Annotations may be whole files; an Elasticsearch keyword takes 32766 bytes, and a rule needs the beginning. */
const maxPairLength = 1_024;
/** Of all pairs as JSON, where a control character takes six. */
const maxPairsLength = 32_768;

/** At most so many characters of the text. What is beyond the basic plane is two, and not cut in half: no JSON holds half a character. */
export function beginningOf(text: string, length: number): string {
  return text.length > length ? text.slice(0, length).replace(/[\ud800-\udbff]$/, '') : text;
}

/**
 * What is told of a pod's labels or annotations: each key with its value is cut at 1024 characters, and those that are left once all
 * together have 32 KiB are left out. The same map when that is all of them. Whoever makes a pod chooses both, up to more than
 * a MiB, and they would be in memory for each of its containers, in the keeper's too, and in every document.
 */
export function beginningsOf(pairs: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const kept = new Map<string, string>();
  let isWhole = true;
  let length = 0;
  for (const [key, value] of pairs) {
    const begin = beginningOf(value, Math.max(maxPairLength - key.length - 1, 0));
    const pairLength = JSON.stringify([key, begin]).length;
    isWhole &&= begin.length === value.length && length + pairLength <= maxPairsLength;
    if (length + pairLength > maxPairsLength) continue;
    kept.set(key, begin);
    length += pairLength;
  }
  return isWhole ? pairs : kept;
}
