/** The JSON Patch (RFC 6902) that gives a pod its annotations. */

import { podAnnotations } from '../kubernetes/names.ts';
import type { PolicyAnnotations } from './annotations.ts';
import type { JsonObject, PatchOperation } from './review.ts';

/** The shortest patch from the pod's `current` annotations to `wanted`; all others stay. Empty when it has them already. */
export function patchAnnotations(
  current: JsonObject | undefined,
  wanted: PolicyAnnotations,
): PatchOperation[] {
  if (current === undefined) {
    // Entries without a value are left out by JSON.
    return [{ op: 'add', path: '/metadata/annotations', value: wanted }];
  }
  return podAnnotations.flatMap((key): PatchOperation[] => {
    // JSON Pointer (RFC 6901) writes `/` inside of a name as `~1`.
    const path = `/metadata/annotations/${key.replace('/', '~1')}`;
    const value = wanted[key];
    if (!Object.hasOwn(current, key)) return value === undefined ? [] : [{ op: 'add', path, value }];
    if (value === undefined) return [{ op: 'remove', path }];
    return current[key] === value ? [] : [{ op: 'replace', path, value }];
  });
}
