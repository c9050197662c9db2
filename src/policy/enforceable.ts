/** What a backend can prevent of what a policy blocks: for people who read the status of a policy. */

import type { Backend } from './blockRules.ts';
import type { CompiledPolicy, CompiledSection } from './compile.ts';
import { operationsOf } from './conditions.ts';
import { type FileOperation, type ProcessOperation, type Section, sections } from './types.ts';

type Operation = FileOperation | ProcessOperation;

/** The operations of a policy's blocking responses, in the order of the language. */
export interface Enforceability {
  /** Refused before they happen. */
  readonly prevented: readonly Operation[];
  /** Reported although the policy says `block`. */
  readonly onlyReported: readonly Operation[];
}

/** Both lists are empty when nothing is blocked. */
export function enforceability(policy: CompiledPolicy, backend: Backend): Enforceability {
  const blocked = sections.flatMap((section) => blockedIn(policy[section], section));
  return {
    prevented: blocked.filter((operation) => !backend.cannotDeny.has(operation)),
    onlyReported: blocked.filter((operation) => backend.cannotDeny.has(operation)),
  };
}

/** A selector without operations matches all of its section. */
function blockedIn(
  { selectors, responses }: CompiledSection<{ readonly operation?: readonly Operation[] }>,
  section: Section,
): Operation[] {
  const blocked = new Set<Operation>();
  for (const { match, actions } of responses) {
    if (!actions.includes('block')) continue;
    for (const index of match) {
      for (const one of selectors[index]?.selector.operation ?? operationsOf[section]) blocked.add(one);
    }
  }
  return operationsOf[section].filter((operation) => blocked.has(operation));
}
