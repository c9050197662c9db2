/** Which namespaces have opted in, in which mode and since when. */

import type { Cluster } from './client.ts';
import type { KubernetesObject } from './kinds.ts';
import { modeLabel, modes } from './names.ts';
import { type WatchTimes, watch } from './watches.ts';

export type NamespaceMode = (typeof modes)[number];

export interface NamespaceState {
  readonly name: string;
  readonly uid: string;
  /** `undefined`: not opted in. A value of the label that is no mode counts as none, as it does for the API server. */
  readonly mode: NamespaceMode | undefined;
  /** When the label was set, in milliseconds since 1970 by the API server's clock; that of the namespace when unknown. */
  readonly labelledAt: number;
}

export interface NamespaceModes {
  /** `true` once every namespace is known; `false` when it was closed before. Never rejects. */
  readonly ready: Promise<boolean>;
  /** `undefined`: there is no such namespace, or not yet; that is not the same as opted out. */
  get(name: string): NamespaceState | undefined;
  list(): NamespaceState[];
  /** Calls with the names of namespaces that came, went, or changed their mode. Gives the function that ends it. */
  subscribe(listener: (names: readonly string[]) => void): () => void;
  stalenessMs(): number;
  close(): Promise<void>;
}

/** Starts at once and never throws. */
export function watchNamespaceModes(
  cluster: Cluster,
  options: {
    /** Namespaces that count as not opted in, whatever their labels say. */
    readonly excluded?: readonly string[];
    readonly times?: Partial<WatchTimes>;
  } = {},
): NamespaceModes {
  const excluded = new Set(options.excluded);
  const listeners = new Set<(names: readonly string[]) => void>();
  const watched = watch(cluster, 'namespaces', {
    project(object) {
      const state = stateOf(object);
      return excluded.has(state.name) ? { ...state, mode: undefined } : state;
    },
    ...(options.times && { times: options.times }),
    onChange(changes) {
      const names = changes
        .filter((change) => change.type !== 'changed' || change.object.mode !== change.previous.mode)
        .map(({ object }) => object.name);
      if (names.length > 0) for (const listener of listeners) listener(names);
    },
  });
  return {
    ready: watched.ready,
    get: (name) => watched.get(name),
    list: () => watched.list(),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stalenessMs: () => watched.stalenessMs(),
    close: () => watched.close(),
  };
}

/** What is kept of a namespace. */
export function stateOf({ metadata }: KubernetesObject): NamespaceState {
  const { name = '', uid = '', labels = {}, creationTimestamp = '', managedFields = [] } = metadata;
  const times = managedFields
    .filter(({ fieldsV1 }) => fieldsV1?.['f:metadata']?.['f:labels']?.[`f:${modeLabel}`] !== undefined)
    .map(({ time = '' }) => Date.parse(time))
    .filter((time) => !Number.isNaN(time));
  return {
    name,
    uid,
    mode: modes.find((mode) => mode === labels[modeLabel]),
    labelledAt: times.length > 0 ? Math.min(...times) : Date.parse(creationTimestamp) || 0,
  };
}
