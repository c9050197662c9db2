/**
 * Finds the policy in what may be around it: our custom resource, an Elastic agent policy or a part of one, a Fleet
 * package policy. Detected by shape; whatever else such an envelope holds is not looked at.
 */

import type { FaultList } from './faultList.ts';
import { quote } from './quote.ts';
import type { MapNode, ScalarNode, TreeNode } from './tree.ts';

/** Reads YAML that stands in a string: a tree, `null` for no content, `undefined` when faults were added. */
export type ReadEmbedded = (scalar: ScalarNode) => TreeNode | null | undefined;

const resourceKind = 'ContainerPolicy';
const elasticKeys = ['inputs', 'streams', 'vars', 'security-policy'];

/** The policy, or `undefined` with at least one fault added. Several policies are one if they say the same. */
export function findPolicy(
  root: TreeNode,
  readEmbedded: ReadEmbedded,
  faults: FaultList,
): MapNode | undefined {
  const policies: MapNode[] = [];
  for (const candidate of candidatesIn(root, faults) ?? []) {
    const tree = candidate !== root && isText(candidate) ? readEmbedded(candidate) : candidate;
    if (tree === undefined) return undefined;
    if (tree === null) continue;
    if (tree.kind === 'map') policies.push(tree);
    else refuse(tree, 'a policy is a mapping with the keys `file` and `process`', faults);
  }
  if (faults.errors > 0) return policies[0];
  const [policy, ...others] = policies;
  if (policy === undefined) {
    faults.add({
      code: 'POLICY_EMPTY',
      at: root.at,
      path: '',
      message: 'there is no policy in this document',
    });
    return undefined;
  }
  const first = canonical(policy);
  const different = others.find((other) => canonical(other) !== first);
  if (different) refuse(different, 'a second policy begins here; a document holds one', faults);
  return policy;
}

/** The nodes that should each be a policy; `undefined` when a fault was added. */
function candidatesIn(root: TreeNode, faults: FaultList): readonly TreeNode[] | undefined {
  if (root.kind === 'list' && root.items.some(isElastic)) return root.items.flatMap(inInput);
  if (root.kind !== 'map' || root.entries.has('file') || root.entries.has('process')) return [root];
  if (isElastic(root)) {
    const inputs = child(root, 'inputs');
    return inputs === undefined ? inInput(root) : itemsOf(inputs).flatMap(inInput);
  }
  const kind = child(root, 'kind');
  if (kind?.kind === 'scalar' && kind.value !== resourceKind) {
    refuse(kind, `the kind ${quote(kind.source)} is not \`${resourceKind}\``, faults);
    return undefined;
  }
  const spec = child(root, 'spec');
  if (spec === undefined) return kind === undefined ? [root] : [];
  return isBlank(spec) ? [] : [spec];
}

/** In an input, or in a stream that stands alone. */
function inInput(input: TreeNode): TreeNode[] {
  const streams = itemsOf(child(input, 'streams'));
  const configuration = child(child(input, 'vars'), 'configuration');
  const found = [input, ...streams].map((stream) => child(stream, 'security-policy'));
  found.push(child(configuration, 'value'));
  return found.filter((node): node is TreeNode => node !== undefined && !isBlank(node));
}

function isElastic(node: TreeNode): boolean {
  return node.kind === 'map' && elasticKeys.some((key) => node.entries.has(key));
}

function child(node: TreeNode | undefined, key: string): TreeNode | undefined {
  return node?.kind === 'map' ? node.entries.get(key)?.value : undefined;
}

function itemsOf(node: TreeNode | undefined): readonly TreeNode[] {
  return node?.kind === 'list' ? node.items : [];
}

function isText(node: TreeNode): node is ScalarNode {
  return node.kind === 'scalar' && typeof node.value === 'string';
}

function isBlank(node: TreeNode): boolean {
  return node.kind === 'scalar' && (node.value === null || node.value === '');
}

function refuse(node: TreeNode, message: string, faults: FaultList): void {
  faults.add({ code: 'POLICY_SYNTAX', at: node.at, path: '', message });
}

/** One text for trees that say the same, wherever they stand. */
function canonical(node: TreeNode): string {
  switch (node.kind) {
    case 'scalar':
      return JSON.stringify(`${typeof node.value} ${node.value}`);
    case 'list':
      return `[${node.items.map(canonical).join()}]`;
    case 'map':
      return `{${[...node.entries.values()].map(({ key, value }) => JSON.stringify(key) + canonical(value)).join()}}`;
  }
}
