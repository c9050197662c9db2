/** What is expected of a tree's nodes: a mapping, a list, text. Says what there is instead, and where. */

import type { FaultList } from './faultList.ts';
import { quote } from './quote.ts';
import type { ListNode, MapNode, TreeNode } from './tree.ts';

/** Text that stands in YAML as it is, and is short enough to be repeated in a suggestion. */
const plainWord = /^[\w./-]{1,64}$/;

/** The mapping, or `undefined` with a fault added. */
export function asMap(node: TreeNode, path: string, what: string, faults: FaultList): MapNode | undefined {
  if (node.kind === 'map') return node;
  wrongType(node, path, `${what} is ${kindOf(node)}; it must be a mapping`, faults);
  return undefined;
}

/** The list, or `undefined` with a fault added. One value that stands alone is not taken for a list of one. */
export function asList(node: TreeNode, path: string, what: string, faults: FaultList): ListNode | undefined {
  if (node.kind === 'list') return node;
  const suggestion = node.kind === 'scalar' && plainWord.test(node.source) ? `[${node.source}]` : undefined;
  const hint = suggestion === undefined ? '' : `, for example ${quote(suggestion)}`;
  wrongType(node, path, `${what} is ${kindOf(node)}; it must be a list${hint}`, faults, suggestion);
  return undefined;
}

/** The text of an item of a list, or `undefined` with a fault added. Empty text is a fault. */
export function asText(node: TreeNode, path: string, what: string, faults: FaultList): string | undefined {
  if (node.kind === 'scalar' && (node.value === '' || isBlank(node))) {
    faults.add({ code: 'POLICY_VALUE_EMPTY', at: node.at, path, message: `${what} is empty` });
    return undefined;
  }
  if (node.kind === 'scalar' && typeof node.value === 'string') return node.value;
  if (node.kind === 'scalar') {
    const suggestion = plainWord.test(node.source) ? `"${node.source}"` : undefined;
    const hint = suggestion === undefined ? '' : `: ${quote(suggestion)}`;
    const message = `${what} ${quote(node.source)} is ${kindOf(node)}; to make it text, quote it${hint}`;
    wrongType(node, path, message, faults, suggestion);
    return undefined;
  }
  wrongType(node, path, `${what} is ${kindOf(node)}; it must be text`, faults);
  return undefined;
}

/** Whether a key stands without a value: `match:`. */
export function isBlank(node: TreeNode): boolean {
  return node.kind === 'scalar' && node.value === null && node.source === '';
}

function wrongType(
  node: TreeNode,
  path: string,
  message: string,
  faults: FaultList,
  suggestion?: string,
): void {
  faults.add({ code: 'POLICY_VALUE_TYPE', at: node.at, path, message, suggestion });
}

export function kindOf(node: TreeNode): string {
  if (node.kind === 'map') return 'a mapping';
  if (node.kind === 'list') return 'a list';
  switch (typeof node.value) {
    case 'string':
      return 'text';
    case 'boolean':
      return 'a truth value';
    case 'object':
      return node.source === '' ? 'empty' : 'null';
    default:
      return 'a number';
  }
}
