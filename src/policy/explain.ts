/** Why a policy applies to a workload or not, and why it fires on an event or not: condition by condition. */

import { bind, factOf, responseApplies, testWorkload } from './bind.ts';
import { type CompiledPolicy, type CompiledSection, compileCondition } from './compile.ts';
import { decide, eventConditions, fires, selectorMatches } from './decide.ts';
import type { EventCondition } from './eventConditions.ts';
import { parseLabelPattern } from './labels.ts';
import { or, truthOf } from './truth.ts';
import {
  type Action,
  type BoundSection,
  type FileSelector,
  type PodName,
  type PolicyDecision,
  type PolicyEvent,
  type ProcessSelector,
  type Section,
  sections,
  type Truth,
  type Verdict,
  type Workload,
  type WorkloadCondition,
  workloadConditions,
} from './types.ts';

export interface ConditionExplanation {
  /** As in the policy, for example `targetFilePath`. */
  readonly condition: string;
  /** Whether it speaks of the workload or of the event. */
  readonly about: 'workload' | 'event';
  readonly holds: Truth;
  /** The values of the policy, of which any may hold. */
  readonly values: readonly string[];
  /** What the workload or event has; `null`: known to be absent, `undefined`: not known. */
  readonly found: string | null | undefined;
  /** The first value that holds, or, where none surely does, that may hold. */
  readonly heldBy: string | undefined;
}

export interface SelectorExplanation {
  readonly name: string;
  /** Whether all conditions about the workload hold. */
  readonly workload: Truth;
  /** Whether it matches the event; absent without an event of its section. */
  readonly matches?: Truth;
  readonly conditions: readonly ConditionExplanation[];
}

export interface ResponseExplanation {
  /** Names of selectors. */
  readonly match: readonly string[];
  readonly exclude: readonly string[];
  readonly actions: readonly Action[];
  /** Whether it can fire in this workload. */
  readonly applies: Truth;
  /** Whether it fires on the event; absent without an event of its section. */
  readonly fires?: boolean;
}

export interface SectionExplanation {
  readonly section: Section;
  readonly selectors: readonly SelectorExplanation[];
  readonly responses: readonly ResponseExplanation[];
}

export interface Explanation {
  readonly policyId: string;
  readonly applies: Truth;
  /** Sections that the policy has. */
  readonly sections: readonly SectionExplanation[];
  /** What the policy says of the event; absent without an event, and when no response fires. */
  readonly decision?: PolicyDecision;
}

/** Explains one policy; `onUnknown` as for `decide`. Total. */
export function explain(
  policy: CompiledPolicy,
  workload: Workload,
  event?: PolicyEvent,
  onUnknown: Verdict = 'allow',
): Explanation {
  const bound = bind(policy, workload);
  const decision = event && decide([bound], event, onUnknown).policies[0];
  const explained = sections
    .filter((section) => policy[section].selectors.length > 0)
    .map((section): SectionExplanation => {
      if (event?.section !== section)
        return explainSection(section, policy[section], bound[section], workload);
      const conditions = eventConditions(bound, event);
      const matches = selectorMatches(bound, event);
      return explainSection(section, policy[section], bound[section], workload, {
        conditions,
        matches,
        onUnknown,
      });
    });
  return { policyId: policy.id, applies: bound.applies, sections: explained, ...(decision && { decision }) };
}

/** How the selectors of a section stand to an event, by their index. */
interface SectionEvent {
  readonly conditions: readonly (readonly EventCondition[])[];
  readonly matches: readonly Truth[];
  readonly onUnknown: Verdict;
}

function explainSection(
  section: Section,
  compiled: CompiledSection<FileSelector | ProcessSelector>,
  bound: BoundSection<FileSelector | ProcessSelector>,
  workload: Workload,
  event?: SectionEvent,
): SectionExplanation {
  const selectors = bound.selectors.map(({ selector, workload: holds }, index): SelectorExplanation => {
    const matches = event?.matches[index];
    const aboutEvents = event?.conditions[index]?.map(answered) ?? unanswered(selector);
    const conditions = [...explainWorkload(selector, workload), ...aboutEvents];
    return { name: selector.name, workload: holds, ...(matches && { matches }), conditions };
  });
  const nameOf = (index: number): string => selectors[index]?.name ?? '';
  const responses = compiled.responses.map(
    (response): ResponseExplanation => ({
      match: response.match.map(nameOf),
      exclude: response.exclude.map(nameOf),
      actions: response.actions,
      applies: responseApplies(response, bound),
      ...(event && { fires: fires(response, event.matches, event.onUnknown) }),
    }),
  );
  return { section, selectors, responses };
}

function explainWorkload(
  selector: FileSelector | ProcessSelector,
  workload: Workload,
): ConditionExplanation[] {
  return workloadConditions.flatMap((condition): ConditionExplanation[] => {
    const values = selector[condition];
    if (values === undefined) return [];
    const truths = values.map((value) => testWorkload(compileCondition(condition, [value]), workload));
    const holds = truths.reduce(or, 'no');
    const heldBy = holds === 'no' ? undefined : values[truths.indexOf(holds)];
    return [
      { condition, about: 'workload', holds, values, found: foundOf(condition, values, workload), heldBy },
    ];
  });
}

/** What the workload has of it: `web-?????` of a name to come, and of the labels those that are asked about. */
function foundOf(
  condition: WorkloadCondition,
  values: readonly string[],
  workload: Workload,
): string | null | undefined {
  const { podName, podLabels } = workload;
  switch (condition) {
    case 'kubernetesPodName':
      return podName && shownName(podName);
    case 'kubernetesPodLabel': {
      if (!podLabels) return podLabels;
      const keys = new Set(values.map((value) => parseLabelPattern(value).key));
      const labels = [...podLabels].filter(([key]) => keys.has(key));
      if (labels.length > 0 && labels.every(([, value]) => value === undefined)) return undefined;
      return labels.length > 0
        ? labels.map(([key, value = '(not known)']) => `${key}:${value}`).join(', ')
        : null;
    }
    default:
      return factOf(condition, workload);
  }
}

function shownName(podName: PodName): string {
  if ('name' in podName) return podName.name;
  return 'generateName' in podName ? `${podName.generateName}?????` : `${podName.begin}…`;
}

function answered({ condition, values, found, heldBy }: EventCondition): ConditionExplanation {
  return { condition, about: 'event', holds: truthOf(heldBy !== undefined), values, found, heldBy };
}

/** The conditions about events of a selector that has none to answer. */
function unanswered(selector: FileSelector | ProcessSelector): ConditionExplanation[] {
  const aboutWorkload: ReadonlySet<string> = new Set(workloadConditions);
  return Object.entries(selector)
    .filter(
      ([condition, values]) => condition !== 'name' && !aboutWorkload.has(condition) && values !== undefined,
    )
    .map(([condition, values]: [string, string | boolean | readonly string[]]) => ({
      condition,
      about: 'event',
      holds: 'unknown',
      values: typeof values === 'object' ? values : [String(values)],
      found: undefined,
      heldBy: undefined,
    }));
}
