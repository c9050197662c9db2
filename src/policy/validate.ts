/** From a `PolicyDocument` to a `Policy`: the one place where a policy is found to be sound. */

import { type Backend, fanotify } from './blockRules.ts';
import { FaultList, type Mode } from './faultList.ts';
import { reportUnknownKeys } from './keyRules.ts';
import { type ReadSection, readSection } from './sectionRules.ts';
import type { PolicyDocument } from './tree.ts';
import { type Fault, type Policy, type Section, sections } from './types.ts';

export interface ValidateOptions {
  /** `strict`: what Elastic's guide says. `lenient`: what Elastic's editor accepts. Default: strict. */
  readonly mode?: Mode;
  /** The configured name of the cluster. Default: none, for which POLICY_CLUSTER_NAME_UNSET warns. */
  readonly clusterName?: string | undefined;
  /** The backend that will enforce the policy, for POLICY_NOT_BLOCKABLE. Default: fanotify. */
  readonly backend?: Backend;
}

const keys = [...sections, 'version'];

/**
 * The policy, present exactly when no fault has severity error, and every fault in the order of its position, those
 * of the text included. Never throws, and takes time linear in the document.
 */
export function validate(
  document: PolicyDocument,
  { mode = 'strict', clusterName, backend = fanotify }: ValidateOptions = {},
): { policy?: Policy; faults: Fault[] } {
  const faults = new FaultList(mode);
  faults.addAll(document.faults);
  const { root } = document;
  const meant = reportUnknownKeys(root, '', { keys, explain: explainKey }, faults);
  const entries = [...root.entries.values()].filter(({ key }) => isSection(key));
  if (entries.length === 0 && !sections.some((section) => meant.has(section))) {
    const message = 'the policy has neither `file` nor `process`';
    faults.add({ code: 'POLICY_EMPTY', at: root.at, path: '', message });
  }
  const read = sections.flatMap((section) => {
    const entry = root.entries.get(section);
    return entry === undefined ? [] : [readSection(section, entry, backend, faults)];
  });
  reportSharedNames(read, faults);
  if (clusterName === undefined || clusterName === '') reportClusterName(read, faults);
  const sorted = faults.sorted();
  return faults.errors > 0 ? { faults: sorted } : { policy: policyOf(read), faults: sorted };
}

function isSection(key: string): key is Section {
  return sections.some((section) => section === key);
}

function explainKey(key: string): string | undefined {
  if (key !== 'network') return undefined;
  return '`network` is not part of this language: d4c-gate decides on files and processes, not on connections';
}

/** Legal, since the sections are apart, but easily misread. */
function reportSharedNames(read: readonly ReadSection[], faults: FaultList): void {
  const [some, other] = read;
  if (some === undefined || other === undefined) return;
  for (const selector of some.selectors) {
    const namesake = other.selectors.find(({ name }) => name === selector.name);
    if (namesake === undefined) continue;
    const { nameAt: one } = selector;
    const { nameAt: two } = namesake;
    const isFirst = one.line === two.line ? one.column < two.column : one.line < two.line;
    const [first, second] = isFirst ? [selector, namesake] : [namesake, selector];
    const message = `${second.label} is also defined in line ${first.nameAt.line}, in the other section; each section uses its own`;
    const { nameAt: at, namePath: path } = second;
    faults.add({ code: 'POLICY_SELECTOR_DUPLICATE', at, path, message, severity: 'warning' });
  }
}

function reportClusterName(read: readonly ReadSection[], faults: FaultList): void {
  for (const { node, path, label, written } of read.flatMap(({ selectors }) => selectors)) {
    if (!written.has('kubernetesClusterName')) continue;
    const at = node.entries.get('kubernetesClusterName')?.at ?? node.at;
    const message = `${label} has \`kubernetesClusterName\`, and no cluster name is configured, so it is not known whether it matches`;
    faults.add({ code: 'POLICY_CLUSTER_NAME_UNSET', at, path: `${path}.kubernetesClusterName`, message });
  }
}

function policyOf(read: readonly ReadSection[]): Policy {
  const named = read.map(({ section, selectors, responses }) => [
    section,
    {
      selectors: selectors.map(({ selector }) => selector),
      responses: responses.map(({ response, match, exclude }) => ({
        match: match.map(({ name }) => name),
        exclude: exclude.map(({ name }) => name),
        actions: response.actions,
      })),
    },
  ]);
  // INVARIANT: without an error every selector has the conditions and operations of its section, and every name is
  // that of a selector: that is what the rules above hold.
  // A copy, since parts of a text keep the whole of it in memory, and lists that grew keep room for more: a third of it all.
  return JSON.parse(JSON.stringify(Object.fromEntries(named))) as Policy;
}
