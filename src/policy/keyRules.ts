/** Keys that are not in the document's language. */

import type { FaultList } from './faultList.ts';
import { quote } from './quote.ts';
import { suggest } from './suggest.ts';
import type { MapEntry, MapNode } from './tree.ts';

/** Keys that Elastic's editor leaves behind in selectors and responses. */
export const editorLeftovers: readonly string[] = ['hasErrors', 'type'];

/** `file.selectors[0].name`, and `file["odd key"]` where a key is no plain word. */
export function childPath(path: string, key: string): string {
  if (!/^[A-Za-z_][\w-]{0,63}$/.test(key)) return `${path}[${JSON.stringify(key.slice(0, 64))}]`;
  return path === '' ? key : `${path}.${key}`;
}

export interface KnownKeys {
  readonly keys: readonly string[];
  readonly ignored?: readonly string[];
  /** A better sentence for a key that is known elsewhere, or `undefined`. */
  readonly explain?: (key: string) => string | undefined;
}

/**
 * Reports the unknown keys of a mapping. Gives the keys that they were probably meant to be, so that these are not
 * reported as missing too; none in lenient mode, where the policy may be used without what they say.
 */
export function reportUnknownKeys(
  map: MapNode,
  path: string,
  { keys, ignored = [], explain }: KnownKeys,
  faults: FaultList,
): ReadonlySet<string> {
  const meant = new Set<string>();
  for (const entry of map.entries.values()) {
    if (keys.includes(entry.key) || ignored.includes(entry.key)) continue;
    const suggestion = reportUnknownKey(entry, path, explain?.(entry.key), keys, faults);
    if (suggestion !== undefined && faults.mode === 'strict') meant.add(suggestion);
  }
  return meant;
}

function reportUnknownKey(
  { key, at }: MapEntry,
  path: string,
  explanation: string | undefined,
  keys: readonly string[],
  faults: FaultList,
): string | undefined {
  const suggestion = explanation !== undefined || faults.isCrowded ? undefined : suggest(key, keys);
  const meant = suggestion === undefined ? '' : `; did you mean ${quote(suggestion)}?`;
  const message = explanation ?? `unknown key ${quote(key)}${meant}`;
  faults.add({ code: 'POLICY_UNKNOWN_KEY', at, path: childPath(path, key), message, suggestion });
  return suggestion;
}
