/**
 * The readable reference of what policies say of an event; the table in C++ agrees with it on every input.
 * For the command line and for tests: with several `**` in a pattern, picomatch may take long on a path that an
 * attacker chose.
 */

import { type EventCondition, fileConditions, processConditions } from './eventConditions.ts';
import { and, truthOf } from './truth.ts';
import {
  actions,
  type BoundPolicy,
  type BoundResponse,
  type Decision,
  type PolicyDecision,
  type PolicyEvent,
  type Truth,
  type Verdict,
} from './types.ts';

/**
 * What the policies bound to one container say of one event. Each is evaluated on its own, and one `block`
 * denies. Where a selector's workload is still unknown, `onUnknown` decides: with `allow` a match selector does
 * not match and an exclude selector does, with `deny` the opposite. Total.
 */
export function decide(policies: readonly BoundPolicy[], event: PolicyEvent, onUnknown: Verdict): Decision {
  const decisions = policies
    .map((policy) => decidePolicy(policy, event, onUnknown))
    .filter((decision) => decision !== undefined);
  const denied = decisions.some((decision) => decision.actions.includes('block'));
  return { verdict: denied ? 'deny' : 'allow', policies: decisions };
}

function decidePolicy(
  policy: BoundPolicy,
  event: PolicyEvent,
  onUnknown: Verdict,
): PolicyDecision | undefined {
  const { selectors, responses } = policy[event.section];
  const matches = selectorMatches(policy, event);
  const fired = responses.filter((response) => fires(response, matches, onUnknown));
  if (fired.length === 0) return undefined;
  const matched = new Set(fired.flatMap((response) => matchedBy(response, matches, onUnknown)));
  return {
    policyId: policy.id,
    actions: actions.filter((action) => fired.some((response) => response.actions.includes(action))),
    matchedSelectors: selectors.flatMap(({ selector }, index) => (matched.has(index) ? selector.name : [])),
  };
}

/** For each selector of the event's section, whether it matches: its workload and every condition on events. */
export function selectorMatches(policy: BoundPolicy, event: PolicyEvent): Truth[] {
  const conditions = eventConditions(policy, event);
  return policy[event.section].selectors.map(({ workload }, index) =>
    and(workload, truthOf(conditions[index]?.every(({ heldBy }) => heldBy !== undefined) ?? false)),
  );
}

/** For each selector of the event's section, its conditions on events. */
export function eventConditions(policy: BoundPolicy, event: PolicyEvent): EventCondition[][] {
  return event.section === 'file'
    ? policy.file.selectors.map(({ selector }) => fileConditions(selector, event))
    : policy.process.selectors.map(({ selector }) => processConditions(selector, event));
}

/** A response fires when at least one match selector matches and no exclude selector does. */
export function fires(response: BoundResponse, matches: readonly Truth[], onUnknown: Verdict): boolean {
  const excluded = response.exclude.some((index) => countsAs(matches[index], onUnknown === 'allow'));
  return !excluded && matchedBy(response, matches, onUnknown).length > 0;
}

function matchedBy(response: BoundResponse, matches: readonly Truth[], onUnknown: Verdict): number[] {
  return response.match.filter((index) => countsAs(matches[index], onUnknown === 'deny'));
}

function countsAs(truth: Truth | undefined, unknownAs: boolean): boolean {
  return truth === 'unknown' ? unknownAs : truth === 'yes';
}
