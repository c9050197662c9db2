/** What people see of a denial where they look for it: an Event beside the object that was refused. */

import type { Telling } from '../kubernetes/eventWriter.ts';
import { isJsonObject, type JsonObject, type Review } from './review.ts';

/** Which object a review is about, by the resource it names. Others get no Event. */
const kindOf: Readonly<Record<string, { apiVersion: string; kind: string }>> = {
  pods: { apiVersion: 'v1', kind: 'Pod' },
  namespaces: { apiVersion: 'v1', kind: 'Namespace' },
  'containerpolicies.d4c-gate.io': { apiVersion: 'd4c-gate.io/v1alpha1', kind: 'ContainerPolicy' },
};

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/**
 * The Event of a denial; `undefined` when there is no object that it could stand beside. A pod that has no name yet is
 * told of beside its controller, and without one under its `generateName`.
 */
export function denialOf(review: Review, message: string, isObserved = false): Telling | undefined {
  const [base = '', subresource] = review.resource.split('/');
  const kind = kindOf[base];
  if (kind === undefined) return undefined;
  const metadata = isJsonObject(review.object) ? review.object.metadata : undefined;
  const regarding = regardingOf(review, kind, isJsonObject(metadata) ? metadata : {});
  if (regarding.name === '') return undefined;
  const what = subresource === undefined ? review.operation.toLowerCase() : subresource;
  return {
    regarding,
    // A request that is about a part of a pod rarely shows the pod.
    ...(base === 'pods' && subresource !== undefined && { isPodThere: true }),
    reason: `${subresource === undefined ? 'Admission' : capitalized(subresource)}${isObserved ? 'Observed' : 'Denied'}`,
    action: isObserved ? 'Allow' : 'Deny',
    note: `${what} ${isObserved ? 'would be refused in mode enforce' : 'was refused'}: ${message}`,
  };
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}

function regardingOf(
  { name, namespace, resource, oldObject }: Review,
  kind: { apiVersion: string; kind: string },
  metadata: JsonObject,
): Telling['regarding'] {
  const isNamespaced = resource.startsWith('pods');
  const place = isNamespaced && namespace !== '' ? { namespace } : {};
  const ownName = name === '' ? textOf(metadata.name) : name;
  if (ownName !== '') {
    // `kubectl describe` finds Events by the UID, which only an object that was there before has.
    const before = isJsonObject(oldObject) && isJsonObject(oldObject.metadata) ? oldObject.metadata : {};
    const uid = textOf(before.uid);
    return { ...kind, name: ownName, ...place, ...(uid && { uid }) };
  }
  const owners = Array.isArray(metadata.ownerReferences) ? metadata.ownerReferences : [];
  const owner = owners.find((one) => isJsonObject(one) && one.controller === true);
  if (isJsonObject(owner)) {
    const [apiVersion, ownerKind, ownerName, uid] = [owner.apiVersion, owner.kind, owner.name, owner.uid].map(
      textOf,
    );
    if (apiVersion && ownerKind && ownerName) {
      return { apiVersion, kind: ownerKind, name: ownerName, ...place, ...(uid && { uid }) };
    }
  }
  return { ...kind, name: textOf(metadata.generateName).replace(/-$/, ''), ...place };
}
