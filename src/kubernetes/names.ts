/** The names under which d4c-gate is known in a cluster. They are API: users write them in manifests and selectors. */

export const group = 'd4c-gate.io';

/** Label with which a namespace opts in: `observe` or `enforce`. */
export const modeLabel = 'd4c-gate.io/mode';
export const modes = ['observe', 'enforce'] as const;

/** Annotation on a namespace without which it cannot opt out while policies apply there. */
export const confirmOptOutAnnotation = 'd4c-gate.io/confirm-opt-out';

/** The only annotations that are ever written on pods. */
export const podAnnotations = ['d4c-gate.io/policies', 'd4c-gate.io/policies-undecided'] as const;

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
