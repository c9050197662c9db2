/** The value of one condition, from its node. */

import { type Condition, type ConditionName, operationsOf } from './conditions.ts';
import type { FaultList } from './faultList.ts';
import { asList, asText, isBlank, kindOf } from './nodeReading.ts';
import { quote, quoteAll } from './quote.ts';
import { suggest } from './suggest.ts';
import type { ListNode, TreeNode } from './tree.ts';
import type { Section } from './types.ts';

/** Where a condition stands, and where its faults go. */
export interface ConditionSite {
  readonly name: ConditionName;
  readonly section: Section;
  readonly path: string;
  readonly faults: FaultList;
}

/** The condition's value with what is faulty left out; `undefined` when nothing of it is left. */
export function readCondition(
  condition: Condition,
  node: TreeNode,
  site: ConditionSite,
): readonly string[] | boolean | undefined {
  switch (condition.kind) {
    case 'boolean':
      return readBoolean(node, condition.falseIsAbsent, site);
    case 'operation':
      return readList(node, site, (value, item, path) => isOperation(value, item, path, site));
    case 'values':
      return readList(node, site, (value, item, path) => hasForm(value, item, path, condition, site));
  }
}

function readBoolean(node: TreeNode, falseIsAbsent: boolean, site: ConditionSite): boolean | undefined {
  const { name, path, faults } = site;
  if (isBlank(node)) {
    faults.add({ code: 'POLICY_VALUE_EMPTY', at: node.at, path, message: `\`${name}\` has no value` });
    return undefined;
  }
  if (node.kind !== 'scalar' || typeof node.value !== 'boolean') {
    const isQuoted = node.kind === 'scalar' && (node.value === 'true' || node.value === 'false');
    const message = `\`${name}\` is ${kindOf(node)}; it must be \`true\` or \`false\`${isQuoted ? ', without quotes' : ''}`;
    const suggestion = isQuoted ? String(node.value) : undefined;
    faults.add({ code: 'POLICY_VALUE_TYPE', at: node.at, path, message, suggestion });
    return undefined;
  }
  if (!node.value && falseIsAbsent) {
    const message = `\`${name}: false\` is the same as leaving it out`;
    faults.add({ code: 'POLICY_FLAG_FALSE', at: node.at, path, message });
  }
  return node.value;
}

type AcceptsValue = (value: string, item: TreeNode, path: string) => boolean;

/** The values that are accepted, each once. */
function readList(node: TreeNode, site: ConditionSite, accepts: AcceptsValue): string[] | undefined {
  const { name, path, faults } = site;
  const isEmpty = (list: ListNode) => list.items.length === 0;
  if (isBlank(node) || (node.kind === 'list' && isEmpty(node))) {
    const message = `\`${name}\` has no value; leave it out, or give at least one`;
    faults.add({ code: 'POLICY_VALUE_EMPTY', at: node.at, path, message });
    return undefined;
  }
  const values = new Set<string>();
  for (const [index, item] of asList(node, path, `\`${name}\``, faults)?.items.entries() ?? []) {
    const itemPath = `${path}[${index}]`;
    const value = asText(item, itemPath, `a value of \`${name}\``, faults);
    if (value !== undefined && accepts(value, item, itemPath)) values.add(value);
  }
  return values.size === 0 ? undefined : [...values];
}

function isOperation(
  value: string,
  item: TreeNode,
  path: string,
  { section, faults }: ConditionSite,
): boolean {
  const operations: readonly string[] = operationsOf[section];
  if (operations.includes(value)) return true;
  const other: Section = section === 'file' ? 'process' : 'file';
  const isOthers = (operationsOf[other] as readonly string[]).includes(value);
  const suggestion = isOthers || faults.isCrowded ? undefined : suggest(value, operations);
  const hint = isOthers
    ? `; it is one of ${other} selectors`
    : suggestion === undefined
      ? `; it must be ${quoteAll(operations, 'or')}`
      : `; did you mean ${quote(suggestion)}?`;
  const message = `unknown operation ${quote(value)} in a ${section} selector${hint}`;
  faults.add({ code: 'POLICY_UNKNOWN_OPERATION', at: item.at, path, message, suggestion });
  return false;
}

function hasForm(
  value: string,
  item: TreeNode,
  path: string,
  { maxBytes, checks }: Extract<Condition, { kind: 'values' }>,
  { name, faults }: ConditionSite,
): boolean {
  const size = Buffer.byteLength(value);
  if (size > maxBytes) {
    const reason = name === 'processName' ? ', since the kernel keeps no more of a process name' : '';
    const message = `a value of \`${name}\` has ${size} bytes; it may have ${maxBytes}${reason}`;
    faults.add({ code: 'POLICY_VALUE_TOO_LONG', at: item.at, path, message });
    return false;
  }
  if (value.includes('\0') || !value.isWellFormed()) {
    const message = `${quote(value)} has a character that no \`${name}\` has`;
    faults.add({ code: 'POLICY_VALUE_FORM', at: item.at, path, message });
    return false;
  }
  for (const check of checks) {
    const problem = check(value);
    if (problem === undefined) continue;
    const { code, suggestion } = problem;
    const hint = suggestion === undefined ? '' : `; did you mean ${quote(suggestion)}?`;
    const message = `\`${name}\`: ${problem.message}${hint}`;
    faults.add({ code, at: item.at, path, message, suggestion });
    if (code === 'POLICY_VALUE_FORM') return false;
  }
  return true;
}
