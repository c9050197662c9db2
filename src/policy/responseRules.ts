/** One response of a policy, from its node, with its references to selectors. */

import type { FaultList } from './faultList.ts';
import { childPath, editorLeftovers, reportUnknownKeys } from './keyRules.ts';
import { asList, asMap, asText, isBlank } from './nodeReading.ts';
import { quote, quoteAll } from './quote.ts';
import { suggest } from './suggest.ts';
import type { ListNode, MapNode, Place, TreeNode } from './tree.ts';
import { type Action, actions as allActions } from './types.ts';

/** A name in `match` or `exclude`, where it stands for the first time. */
export interface Reference {
  readonly name: string;
  readonly at: Place;
  readonly path: string;
}

/** A response as far as it could be read. */
export interface ReadResponse {
  readonly node: MapNode;
  readonly path: string;
  /** Each name once. */
  readonly match: readonly Reference[];
  readonly exclude: readonly Reference[];
  readonly actions: readonly Action[];
  readonly actionsAt: Place;
  readonly actionsPath: string;
}

const keys = ['match', 'exclude', 'actions'];

/** The response, or `undefined` with a fault added when it is no mapping. Whether its names exist is not asked here. */
export function readResponse(node: TreeNode, path: string, faults: FaultList): ReadResponse | undefined {
  const map = asMap(node, path, 'a response', faults);
  if (map === undefined) return undefined;
  const meant = reportUnknownKeys(map, path, { keys, ignored: editorLeftovers }, faults);
  const match = requiredList(map, path, 'match', meant, faults);
  const excludeNode = map.entries.get('exclude')?.value;
  const exclude = excludeNode && asList(excludeNode, `${path}.exclude`, '`exclude`', faults);
  const actions = requiredList(map, path, 'actions', meant, faults);
  return {
    node: map,
    path,
    match: readReferences(match, `${path}.match`, faults),
    exclude: readReferences(exclude, `${path}.exclude`, faults),
    actions: readActions(actions, `${path}.actions`, faults),
    actionsAt: actions?.at ?? map.at,
    actionsPath: `${path}.actions`,
  };
}

function requiredList(
  map: MapNode,
  path: string,
  key: 'match' | 'actions',
  meant: ReadonlySet<string>,
  faults: FaultList,
): ListNode | undefined {
  const node = map.entries.get(key)?.value;
  if (node === undefined && meant.has(key)) return undefined;
  if (node === undefined || isBlank(node) || (node.kind === 'list' && node.items.length === 0)) {
    const at = node?.at ?? map.at;
    const message = `this response has no \`${key}\`; it takes at least one ${key === 'match' ? 'selector' : 'action'}`;
    faults.add({ code: 'POLICY_RESPONSE_INCOMPLETE', at, path: node ? childPath(path, key) : path, message });
    return undefined;
  }
  return asList(node, childPath(path, key), `\`${key}\``, faults);
}

function readReferences(list: ListNode | undefined, path: string, faults: FaultList): Reference[] {
  const references = new Map<string, Reference>();
  for (const [index, item] of list?.items.entries() ?? []) {
    const itemPath = `${path}[${index}]`;
    const name = asText(item, itemPath, 'a selector name', faults);
    if (name === undefined || references.has(name)) continue;
    references.set(name, { name, at: item.at, path: itemPath });
  }
  return [...references.values()];
}

function readActions(list: ListNode | undefined, path: string, faults: FaultList): Action[] {
  const found = new Set<Action>();
  let isAlertMeant = false;
  for (const [index, item] of list?.items.entries() ?? []) {
    const itemPath = `${path}[${index}]`;
    const text = asText(item, itemPath, 'an action', faults);
    if (text === undefined) continue;
    const action = allActions.find((name) => name === text);
    if (action !== undefined) found.add(action);
    else if (reportUnknownAction(text, item.at, itemPath, faults) === 'alert') isAlertMeant = true;
  }
  if (list !== undefined && found.has('block') && !found.has('alert') && !isAlertMeant) {
    const message =
      'this response has `block` without `alert`; add `alert`, so that what is refused is also reported';
    faults.add({
      code: 'POLICY_BLOCK_WITHOUT_ALERT',
      at: list.at,
      path,
      message,
      suggestion: `[${allActions.filter((action) => action === 'alert' || found.has(action)).join(', ')}]`,
    });
  }
  return allActions.filter((action) => found.has(action));
}

function reportUnknownAction(text: string, at: Place, path: string, faults: FaultList): string | undefined {
  const suggestion = faults.isCrowded ? undefined : suggest(text, allActions);
  const hint =
    suggestion === undefined
      ? `it must be ${quoteAll(allActions, 'or')}`
      : `did you mean ${quote(suggestion)}?`;
  const message = `unknown action ${quote(text)}; ${hint}`;
  faults.add({ code: 'POLICY_UNKNOWN_ACTION', at, path, message, suggestion });
  return suggestion;
}
