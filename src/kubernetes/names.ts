/** The names under which d4c-gate is known in a cluster. They are API: users write them in manifests and selectors. */

export const group = 'd4c-gate.io';

/** Label with which a namespace opts in: `observe` or `enforce`. */
export const modeLabel = 'd4c-gate.io/mode';
export const modes = ['observe', 'enforce'] as const;
export type Mode = (typeof modes)[number];

/** Annotation on a namespace that says that opting out is meant, although policies apply: `"true"`. */
export const confirmKey = 'd4c-gate.io/confirm-opt-out';

/** Namespaces that are never touched, whatever label they have: the cluster or d4c-gate itself depends on them. */
export function neverTouched(ownNamespace: string | undefined): ReadonlySet<string> {
  return new Set(ownNamespace === undefined ? ['kube-system'] : ['kube-system', ownNamespace]);
}

/** Annotation on a pod: the IDs of the policies that apply. */
export const policiesKey = 'd4c-gate.io/policies';
/** Annotation on a pod: the IDs of the policies that wait for something unknown. */
export const undecidedKey = 'd4c-gate.io/policies-undecided';
/** The only annotations that are ever written on pods. */
export const podAnnotations = [policiesKey, undecidedKey] as const;

/** On every object that this program creates, so that `uninstall` finds them all. */
export const ownLabels: Readonly<Record<string, string>> = {
  'app.kubernetes.io/name': 'd4c-gate',
  'app.kubernetes.io/managed-by': 'd4c-gate',
};

/** `ownLabels` as a label selector. */
export const ownSelector = Object.entries(ownLabels)
  .map(([key, value]) => `${key}=${value}`)
  .join(',');

/** Where Leases and Secrets are when nobody says otherwise. */
export const defaultNamespace = 'd4c-gate';
