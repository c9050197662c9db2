/** How responses and selectors of one section fit together. */

import { covers } from './covers.ts';
import type { FaultList } from './faultList.ts';
import { quote, quoteAll } from './quote.ts';
import type { ReadResponse, Reference } from './responseRules.ts';
import type { ReadSelector } from './selectorRules.ts';
import { suggest } from './suggest.ts';
import type { Section } from './types.ts';

/** A response, and the selectors that its `match` and `exclude` name, as far as they exist. */
export interface LinkedResponse {
  readonly response: ReadResponse;
  readonly match: readonly ReadSelector[];
  readonly exclude: readonly ReadSelector[];
  /** Selectors that names unknown to the section were probably meant to be. */
  readonly meant: readonly string[];
}

/** Looks the names up; those that the section lacks are faults. */
export function linkResponse(
  section: Section,
  response: ReadResponse,
  selectors: ReadonlyMap<string, ReadSelector>,
  faults: FaultList,
): LinkedResponse {
  const meant: string[] = [];
  const link = (references: readonly Reference[]) =>
    references.flatMap((reference) => {
      const selector = selectors.get(reference.name);
      if (selector !== undefined) return [selector];
      meant.push(...reportUnknown(section, reference, selectors, faults));
      return [];
    });
  return { response, match: link(response.match), exclude: link(response.exclude), meant };
}

function reportUnknown(
  section: Section,
  { name, at, path }: Reference,
  selectors: ReadonlyMap<string, ReadSelector>,
  faults: FaultList,
): string[] {
  const suggestion = faults.isCrowded ? undefined : suggest(name, selectors.keys());
  const hint = suggestion === undefined ? ` in \`${section}\`` : `; did you mean ${quote(suggestion)}?`;
  const message = `unknown selector ${quote(name)}${hint}`;
  faults.add({ code: 'POLICY_UNKNOWN_SELECTOR', at, path, message, suggestion });
  return suggestion === undefined ? [] : [suggestion];
}

/** Says nothing where a response has no readable `match`: the selector may have been meant to stand there. */
export function reportUnused(
  selectors: ReadonlyMap<string, ReadSelector>,
  responses: readonly LinkedResponse[],
  faults: FaultList,
): void {
  if (responses.some(({ response }) => response.match.length === 0)) return;
  const used = new Set(
    responses.flatMap(({ match, exclude }) => [...match, ...exclude]).map(({ name }) => name),
  );
  const meant = new Set(responses.flatMap((response) => response.meant));
  for (const { name, nameAt: at, namePath: path, label } of selectors.values()) {
    if (used.has(name) || meant.has(name)) continue;
    const message = `${label} is in no response, so it has no effect`;
    faults.add({ code: 'POLICY_SELECTOR_UNUSED', at, path, message });
  }
}

/** Whether the first selector covers the second; of every pair of a section this is found out once. */
type Covers = (exclude: ReadSelector, match: ReadSelector) => boolean;

export function reportNeverFires(responses: readonly LinkedResponse[], faults: FaultList): void {
  const known = new Map<ReadSelector, Map<ReadSelector, boolean>>();
  const coversOnce: Covers = (exclude, match) => {
    const ofExclude = known.get(exclude) ?? new Map<ReadSelector, boolean>();
    known.set(exclude, ofExclude);
    const found =
      ofExclude.get(match) ??
      (exclude.isComplete && match.isComplete && covers(exclude.selector, match.selector));
    ofExclude.set(match, found);
    return found;
  };
  for (const linked of responses) {
    reportInBoth(linked, faults);
    reportCovered(linked, coversOnce, faults);
  }
}

function reportInBoth({ response, match, exclude }: LinkedResponse, faults: FaultList): void {
  for (const { name, at, path } of response.exclude) {
    const read = exclude.find((candidate) => candidate.name === name);
    if (read === undefined || !match.includes(read)) continue;
    const message = `${read.label} is in \`match\` and in \`exclude\`, so it never fires this response`;
    faults.add({ code: 'POLICY_NEVER_FIRES', at, path, message });
  }
}

function reportCovered(
  { response, match, exclude }: LinkedResponse,
  coversOnce: Covers,
  faults: FaultList,
): void {
  const others = match.filter((read) => !exclude.includes(read));
  const coverings = new Set<string>();
  for (const read of others) {
    const covering = exclude.find((candidate) => coversOnce(candidate, read));
    if (covering === undefined) return;
    coverings.add(covering.name);
  }
  if (coverings.size === 0) return;
  const message = `\`exclude\` (${quoteAll([...coverings], 'and')}) covers all that \`match\` can match, so this response never fires`;
  faults.add({ code: 'POLICY_NEVER_FIRES', at: response.node.at, path: response.path, message });
}
