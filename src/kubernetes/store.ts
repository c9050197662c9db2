/** The last good objects of one watch, and what changed between two states of the cluster. */

import type { KubernetesObject } from './kinds.ts';

export type Change<T> =
  | { readonly type: 'added'; readonly object: T }
  | { readonly type: 'changed'; readonly object: T; readonly previous: T }
  | { readonly type: 'deleted'; readonly object: T };

interface Stored<T> {
  readonly resourceVersion: string | undefined;
  readonly object: T;
}

export class Store<O extends KubernetesObject, T> {
  readonly #objects = new Map<string, Stored<T>>();
  readonly #project: (object: O) => T;

  /** @param project keeps of each object what is needed; the rest is not held in memory */
  constructor(project: (object: O) => T) {
    this.#project = project;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#objects.get(keyOf(name, namespace))?.object;
  }

  *values(): Generator<T> {
    for (const { object } of this.#objects.values()) yield object;
  }

  /** Takes one object as it is now. No change when this state of it is already known. */
  put(object: O): Change<T> | undefined {
    const { name = '', namespace, resourceVersion } = object.metadata;
    const key = keyOf(name, namespace);
    const previous = this.#objects.get(key);
    if (
      previous !== undefined &&
      resourceVersion !== undefined &&
      previous.resourceVersion === resourceVersion
    ) {
      return undefined;
    }
    const projected = this.#project(object);
    this.#objects.set(key, { resourceVersion, object: projected });
    if (previous === undefined) return { type: 'added', object: projected };
    return { type: 'changed', object: projected, previous: previous.object };
  }

  remove(object: O): Change<T> | undefined {
    const key = keyOf(object.metadata.name ?? '', object.metadata.namespace);
    const previous = this.#objects.get(key);
    if (previous === undefined) return undefined;
    this.#objects.delete(key);
    return { type: 'deleted', object: previous.object };
  }

  /**
   * Begins to take a whole list, page by page. What `finish` finds missing in the list is gone from the cluster, also
   * when its deletion was never seen.
   */
  replaceAll(): { put(object: O): Change<T> | undefined; finish(): Change<T>[] } {
    const seen = new Set<string>();
    return {
      put: (object) => {
        seen.add(keyOf(object.metadata.name ?? '', object.metadata.namespace));
        return this.put(object);
      },
      finish: () => {
        const gone = [...this.#objects].filter(([key]) => !seen.has(key));
        for (const [key] of gone) this.#objects.delete(key);
        return gone.map(([, { object }]) => ({ type: 'deleted', object }));
      },
    };
  }
}

/** Neither a namespace nor a name can contain a slash. */
const keyOf = (name: string, namespace = '') => `${namespace}/${name}`;
