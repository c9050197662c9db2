/** The section `file` or `process`: its selectors, its responses, and how the two fit together. */

import { type Backend, reportBlocks } from './blockRules.ts';
import type { FaultList } from './faultList.ts';
import { childPath, reportUnknownKeys } from './keyRules.ts';
import { type LinkedResponse, linkResponse, reportNeverFires, reportUnused } from './linkRules.ts';
import { asList, asMap, isBlank } from './nodeReading.ts';
import { quoteAll } from './quote.ts';
import { readResponse } from './responseRules.ts';
import { type ReadSelector, readSelector } from './selectorRules.ts';
import type { ListNode, MapEntry, MapNode } from './tree.ts';
import type { Section } from './types.ts';

export const maxPerSection = 64;

export interface ReadSection {
  readonly section: Section;
  /** In the order of the document, of each name the first. */
  readonly selectors: readonly ReadSelector[];
  readonly responses: readonly LinkedResponse[];
}

const keys = ['selectors', 'responses'] as const;
type ListKey = (typeof keys)[number];

/** What the section says, as far as it could be read. */
export function readSection(
  section: Section,
  { at, value }: MapEntry,
  backend: Backend,
  faults: FaultList,
): ReadSection {
  const nothing: ReadSection = { section, selectors: [], responses: [] };
  if (isBlank(value)) {
    reportIncomplete(section, at, section, keys, faults);
    return nothing;
  }
  const map = asMap(value, section, `\`${section}\``, faults);
  if (map === undefined) return nothing;
  const lists = readLists(section, map, at, faults);
  const count = (lists.selectors?.items.length ?? 0) + (lists.responses?.items.length ?? 0);
  if (count > maxPerSection) {
    const message = `\`${section}\` has ${count} selectors and responses; it may have ${maxPerSection}`;
    faults.add({ code: 'POLICY_TOO_MANY', at, path: section, message });
  }
  const selectors = readSelectors(section, lists.selectors, faults);
  const responses = readResponses(section, lists.responses, lists.selectors && selectors, faults);
  if (responses.length > 0) reportUnused(selectors, responses, faults);
  reportBlocks(section, responses, backend, faults);
  reportNeverFires(responses, faults);
  return { section, selectors: [...selectors.values()], responses };
}

function readLists(
  section: Section,
  map: MapNode,
  at: MapEntry['at'],
  faults: FaultList,
): Partial<Record<ListKey, ListNode>> {
  const meant = reportUnknownKeys(map, section, { keys }, faults);
  const missing = keys.filter((key) => !map.entries.has(key) && !meant.has(key));
  if (missing.length > 0) reportIncomplete(section, at, section, missing, faults);
  const lists: Partial<Record<ListKey, ListNode>> = {};
  for (const key of keys) {
    const node = map.entries.get(key)?.value;
    if (node === undefined) continue;
    const path = childPath(section, key);
    if (isBlank(node) || (node.kind === 'list' && node.items.length === 0)) {
      reportIncomplete(section, node.at, path, [key], faults);
      continue;
    }
    const list = asList(node, path, `\`${key}\``, faults);
    if (list !== undefined) lists[key] = list;
  }
  return lists;
}

function reportIncomplete(
  section: Section,
  at: MapEntry['at'],
  path: string,
  missing: readonly string[],
  faults: FaultList,
): void {
  const message = `\`${section}\` has no ${quoteAll(missing, 'and')}`;
  faults.add({ code: 'POLICY_SECTION_INCOMPLETE', at, path, message });
}

/** Of each name the first. What has no name is looked at and left out. */
function readSelectors(
  section: Section,
  list: ListNode | undefined,
  faults: FaultList,
): ReadonlyMap<string, ReadSelector> {
  const selectors = new Map<string, ReadSelector>();
  for (const [index, item] of list?.items.entries() ?? []) {
    const read = readSelector(item, section, `${section}.selectors[${index}]`, faults);
    if (read === undefined || read.name === '') continue;
    const first = selectors.get(read.name);
    if (first === undefined) {
      selectors.set(read.name, read);
      continue;
    }
    const message = `${read.label} is already defined in line ${first.nameAt.line}`;
    faults.add({ code: 'POLICY_SELECTOR_DUPLICATE', at: read.nameAt, path: read.namePath, message });
  }
  return selectors;
}

function readResponses(
  section: Section,
  list: ListNode | undefined,
  selectors: ReadonlyMap<string, ReadSelector> | undefined,
  faults: FaultList,
): LinkedResponse[] {
  const responses: LinkedResponse[] = [];
  for (const [index, item] of list?.items.entries() ?? []) {
    const response = readResponse(item, `${section}.responses[${index}]`, faults);
    if (response === undefined) continue;
    // Without a list of selectors every name would be unknown, and one fault has said why.
    if (selectors === undefined) responses.push({ response, match: [], exclude: [], meant: [] });
    else responses.push(linkResponse(section, response, selectors, faults));
  }
  return responses;
}
