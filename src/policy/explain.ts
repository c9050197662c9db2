/** Why a policy applies to a workload or not, and why it fires on an event or not: condition by condition. */

import type { CompiledPolicy } from './compile.ts';
import type { Action, PolicyDecision, PolicyEvent, Section, Truth, Verdict, Workload } from './types.ts';

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

/** Explains one policy; `onUnknown` as for `decide`. */
export function explain(
  policy: CompiledPolicy,
  workload: Workload,
  event?: PolicyEvent,
  onUnknown: Verdict = 'allow',
): Explanation {
  void [workload, event, onUnknown];
  return { policyId: policy.id, applies: 'unknown', sections: [] };
}
