/** One selector of a policy, from its node to what it means. */

import { readCondition } from './conditionRules.ts';
import {
  type AnySelector,
  type ConditionName,
  conditions,
  exclusiveConditions,
  isConditionOf,
  monitoringOperations,
  selectorKeys,
} from './conditions.ts';
import type { FaultList } from './faultList.ts';
import { childPath, editorLeftovers, reportUnknownKeys } from './keyRules.ts';
import { asMap } from './nodeReading.ts';
import { quote } from './quote.ts';
import { readSelectorName, type SelectorName } from './selectorName.ts';
import type { MapNode, TreeNode } from './tree.ts';
import { type Section, sections } from './types.ts';

/** A selector as far as it could be read. */
export interface ReadSelector extends SelectorName {
  readonly selector: AnySelector;
  readonly node: MapNode;
  readonly path: string;
  /** Its conditions as they stand in the document, also those whose values are faulty. */
  readonly written: ReadonlySet<ConditionName>;
  /** Whether `selector` is all that it says, since nothing had to be left out. */
  readonly isComplete: boolean;
}

/** The selector, or `undefined` with a fault added when it is no mapping. */
export function readSelector(
  node: TreeNode,
  section: Section,
  path: string,
  faults: FaultList,
): ReadSelector | undefined {
  const map = asMap(node, path, 'a selector', faults);
  if (map === undefined) return undefined;
  const known = {
    keys: selectorKeys(section),
    ignored: editorLeftovers,
    explain: (key: string) => elsewhere(section, key),
  };
  const meant = reportUnknownKeys(map, path, known, faults);
  const name = readSelectorName(map, path, meant.has('name'), faults);
  const { values, written, isComplete } = readConditions(map, section, path, faults);
  // INVARIANT: `conditions` gives each condition the kind of value that `AnySelector` says.
  const selector = { name: name.name, ...values } as AnySelector;
  const read = { selector, node: map, path, written, isComplete: isComplete && meant.size === 0, ...name };
  reportMissing(read, section, meant, faults);
  reportTogether(read, faults);
  return read;
}

function readConditions(map: MapNode, section: Section, path: string, faults: FaultList) {
  const values: Record<string, unknown> = {};
  const written = new Set<ConditionName>();
  let isComplete = true;
  for (const { key, value: node } of map.entries.values()) {
    const condition = conditions.get(key);
    if (condition === undefined || !isConditionOf(section, key)) continue;
    written.add(key);
    const errors = faults.errors;
    const value = readCondition(condition, node, { name: key, section, path: childPath(path, key), faults });
    if (faults.errors > errors) isComplete = false;
    const isAbsent = condition.kind === 'boolean' && condition.falseIsAbsent && value === false;
    if (value !== undefined && !isAbsent) values[key] = value;
  }
  return { values, written, isComplete };
}

function reportMissing(
  { selector, written, node, path, label }: ReadSelector,
  section: Section,
  meant: ReadonlySet<string>,
  faults: FaultList,
): void {
  const { at } = node;
  if (written.size === 0 && meant.size === 0) {
    const message = `${label} has no condition, so it would match everything`;
    faults.add({ code: 'POLICY_SELECTOR_EMPTY', at, path, message });
    return;
  }
  if (!written.has('operation') && !meant.has('operation')) {
    const message = `${label} has no \`operation\`, so it matches every operation of \`${section}\``;
    faults.add({ code: 'POLICY_OPERATION_MISSING', at, path, message });
  }
  const operation = selector.operation?.find((name) => monitoringOperations.has(name));
  if (operation !== undefined && !written.has('targetFilePath') && !meant.has('targetFilePath')) {
    const message = `${label} has \`${operation}\` and no \`targetFilePath\``;
    faults.add({ code: 'POLICY_FIM_PATH_MISSING', at, path, message });
  }
}

function reportTogether({ written, node, path, label }: ReadSelector, faults: FaultList): void {
  const keyAt = (name: ConditionName) => node.entries.get(name)?.at ?? node.at;
  for (const pair of exclusiveConditions) {
    if (!pair.every((name) => written.has(name))) continue;
    const [first, second] = [...written].filter((name) => pair.includes(name));
    if (first === undefined || second === undefined) continue;
    const message = `${label} has \`${first}\` and \`${second}\`; it may have one of them`;
    faults.add({ code: 'POLICY_EXCLUSIVE', at: keyAt(second), path: childPath(path, second), message });
  }
  if (written.has('processName') && written.has('processExecutable')) {
    const message = `${label} has \`processName\` and \`processExecutable\`; it matches only where both hold`;
    const at = keyAt('processName');
    faults.add({ code: 'POLICY_NAME_AND_EXECUTABLE', at, path: childPath(path, 'processName'), message });
  }
}

function elsewhere(section: Section, key: string): string | undefined {
  const other = sections.find((name) => name !== section && isConditionOf(name, key));
  return other === undefined
    ? undefined
    : `${quote(key)} is a condition of ${other} selectors, not of ${section} selectors`;
}
