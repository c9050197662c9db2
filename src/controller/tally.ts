/** How many pods each policy applies to, in each namespace and altogether, kept up to date pod by pod. */

export interface PodCount {
  readonly bound: number;
  /** Pods of which something that the policy asks for is not known. */
  readonly undecided: number;
}

/** IDs as in the annotations: sorted, with commas between. */
export interface Share {
  readonly namespace: string;
  readonly applies: string;
  readonly undecided: string;
}

export interface Tally {
  /** What a pod counts for from now on; `undefined`: nothing. */
  set(pod: string, share: Share | undefined): void;
  ofPolicy(id: string): PodCount;
  /** Of the policies that any pod of this namespace counts for, sorted by ID. */
  ofNamespace(namespace: string): readonly { readonly id: string; readonly count: PodCount }[];
}

type Counts = Map<string, { bound: number; undecided: number }>;
const zero: PodCount = { bound: 0, undecided: 0 };

/** @param onChange called with the policies and the namespace whose counts changed */
export function makeTally(onChange: (ids: readonly string[], namespace: string) => void): Tally {
  const shares = new Map<string, Share>();
  const policies: Counts = new Map();
  const namespaces = new Map<string, Counts>();

  function add({ namespace, applies, undecided }: Share, by: 1 | -1): string[] {
    const inNamespace = namespaces.get(namespace) ?? new Map();
    namespaces.set(namespace, inNamespace);
    const [some, others] = [idsOf(applies), idsOf(undecided)];
    for (const counts of [policies, inNamespace]) {
      for (const id of some) change(counts, id, by, 0);
      for (const id of others) change(counts, id, 0, by);
    }
    if (inNamespace.size === 0) namespaces.delete(namespace);
    return [...some, ...others];
  }

  return {
    set(pod, share) {
      const before = shares.get(pod);
      if (before?.applies === share?.applies && before?.undecided === share?.undecided) return;
      if (share === undefined) shares.delete(pod);
      else shares.set(pod, share);
      const ids = new Set([...(before ? add(before, -1) : []), ...(share ? add(share, 1) : [])]);
      onChange([...ids], (share ?? before)?.namespace ?? '');
    },
    ofPolicy: (id) => policies.get(id) ?? zero,
    ofNamespace(namespace) {
      const counts = [...(namespaces.get(namespace) ?? [])];
      return counts.map(([id, count]) => ({ id, count })).sort((a, b) => (a.id < b.id ? -1 : 1));
    },
  };
}

function change(counts: Counts, id: string, bound: number, undecided: number): void {
  const before = counts.get(id) ?? zero;
  const after = { bound: before.bound + bound, undecided: before.undecided + undecided };
  if (after.bound === 0 && after.undecided === 0) counts.delete(id);
  else counts.set(id, after);
}

const idsOf = (text: string) => (text === '' ? [] : text.split(','));
