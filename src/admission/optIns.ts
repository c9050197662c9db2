/**
 * Namespaces that opted in moments ago. A pod that is created just then may have passed the mutating call, which the
 * API server left out, before the label was there, and meet the validating call after it: it has no annotations, and
 * nobody did anything wrong. The controller mends it.
 */

import type { NamespaceModes } from '../kubernetes/namespaceModes.ts';

/** Whether a namespace, which the API server takes for opted in, was not a moment ago. */
export type JustOptedIn = (namespace: string) => boolean;

/** A namespace counts as just opted in for `graceMs` milliseconds after this replica heard of it (default: 10 seconds), and before. */
export function rememberOptIns(
  namespaces: Pick<NamespaceModes, 'get' | 'subscribe'>,
  graceMs = 10_000,
): JustOptedIn {
  /** When this replica heard of each, oldest first. */
  const heard = new Map<string, number>();
  const forget = (): void => {
    for (const [name, at] of heard) {
      if (performance.now() - at < graceMs) return;
      heard.delete(name);
    }
  };
  namespaces.subscribe((names) => {
    forget();
    for (const name of names) {
      if (namespaces.get(name)?.mode === undefined) continue;
      heard.delete(name);
      heard.set(name, performance.now());
    }
  });
  return (namespace) => {
    // The API server asks about it, so it has seen a label that has not come here yet.
    if (namespaces.get(namespace)?.mode === undefined) return true;
    forget();
    return heard.has(namespace);
  };
}
