/** Where objects are in the API server's tree of paths. */

import { type Kind, kinds } from './kinds.ts';

/** Names one object. `namespace` is required for kinds that live in namespaces. */
export interface ObjectName {
  readonly name: string;
  readonly namespace?: string;
}

/** For example `/apis/apps/v1`. */
export const groupPath = (apiVersion: string) => (apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`);

/** The objects of one namespace, or of the whole cluster. */
export function collectionOf(kind: Kind, namespace: string | undefined): string {
  const below = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${groupPath(kinds[kind].apiVersion)}${below}/${kind}`;
}

/** One object, or a part of it such as `status`. */
export function pathOf(kind: Kind, object: ObjectName, subresource?: string): string {
  const path = `${collectionOf(kind, object.namespace)}/${encodeURIComponent(object.name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

/** What addresses an object that is at hand. */
export function nameOf(object: { metadata?: { name?: string; namespace?: string } }): ObjectName {
  const { name = '', namespace } = object.metadata ?? {};
  return namespace === undefined ? { name } : { name, namespace };
}

/** Lists leave out `apiVersion` and `kind` of their items, which writes need. */
export function typed<O extends object>(kind: Kind, object: O): O {
  return { ...object, apiVersion: kinds[kind].apiVersion, kind: kinds[kind].kind };
}
