/**
 * Whether policies refuse an interactive session that is about to begin in a container, before anything runs there.
 *
 * Only a selector with `sessionLeaderInteractive: true` speaks of sessions; one without it refuses programs, in any
 * session, and is left to the node. Of the session's first program no more is known than what was asked for: an absolute
 * path counts as written when it fits; one that does not fit, or a bare name, may still lead to a file that fits.
 */

import { bind } from './bind.ts';
import type { CompiledPolicy, CompiledSection } from './compile.ts';
import { isText, processNameOf } from './eventConditions.ts';
import { buildTrie, lookUp, type PathTrie } from './trie.ts';
import { and, not, or } from './truth.ts';
import type { ProcessSelector, Truth, Workload } from './types.ts';

/** A policy that refuses the session, or may refuse it. */
export interface SessionBlock {
  readonly policyId: string;
  /** Name of the match selector. */
  readonly selector: string;
  /** Index of the response in the process section. */
  readonly response: number;
}

export interface SessionAnswer {
  /** `yes`: the session is refused whatever is not known; `no`: the policies leave it alone. */
  readonly holds: Truth;
  /** Absent when `holds` is `no`. */
  readonly block?: SessionBlock;
}

/**
 * Asks every policy; the first that surely refuses decides, else the first that may.
 *
 * @param workload the container; what is not known of it stays unknown
 * @param program the first program as written; `undefined` when the session joins one that runs already
 */
export function blockOfSession(
  policies: readonly CompiledPolicy[],
  workload: Workload,
  program: string | undefined,
): SessionAnswer {
  let possible: SessionAnswer = { holds: 'no' };
  for (const policy of blockersOf(policies)) {
    const answer = blockOfPolicy(policy, workload, program);
    if (answer.holds === 'yes') return answer;
    if (answer.holds === 'unknown' && possible.holds === 'no') possible = answer;
  }
  return possible;
}

function blockOfPolicy(
  policy: CompiledPolicy,
  workload: Workload,
  program: string | undefined,
): SessionAnswer {
  const { selectors, responses } = bind(policy, workload).process;
  const paths = program === undefined ? 0n : lookUp(trieOf(policy.process), program);
  const matches = selectors.map(({ selector, workload: holds }, index) =>
    and(holds, beginsSession(selector, program, ((paths >> BigInt(index)) & 1n) === 1n)),
  );
  const at = (index: number): Truth => matches[index] ?? 'no';
  let possible: SessionAnswer = { holds: 'no' };
  for (const [response, { match, exclude, actions }] of responses.entries()) {
    if (!actions.includes('block')) continue;
    const excluded = exclude.map(at).reduce(or, 'no');
    for (const index of match) {
      const selector = selectors[index]?.selector;
      if (selector?.sessionLeaderInteractive !== true) continue;
      const holds = and(at(index), not(excluded));
      const answer = { holds, block: { policyId: policy.id, selector: selector.name, response } };
      if (holds === 'yes') return answer;
      if (holds === 'unknown' && possible.holds === 'no') possible = answer;
    }
  }
  return possible;
}

/** Whether the selector's conditions on events hold for the session's first program. */
function beginsSession(
  { operation, processExecutable, processName, sessionLeaderInteractive }: ProcessSelector,
  program: string | undefined,
  pathFits: boolean,
): Truth {
  if (operation !== undefined && !operation.includes('exec')) return 'no';
  if (sessionLeaderInteractive === false) return 'no';
  const isAnyPath = processExecutable === undefined || processExecutable.includes('/**');
  const path: Truth = isAnyPath || (pathFits && isResolved(program)) ? 'yes' : 'unknown';
  const isAnyName = processName === undefined;
  const bytes = program === undefined ? undefined : processNameOf(program);
  const nameFits = bytes !== undefined && processName?.some((name) => isText(bytes, name)) === true;
  return and(path, isAnyName || nameFits ? 'yes' : 'unknown');
}

/** Whether the path can be that of a file as it stands: symlinks are not known, but these surely lead elsewhere. */
function isResolved(path = ''): boolean {
  return path.startsWith('/') && !/\/(\.{0,2})(\/|$)/.test(path);
}

/** The policies that can refuse a session; as a rule few of many. */
const blockers = new WeakMap<readonly CompiledPolicy[], readonly CompiledPolicy[]>();

function blockersOf(policies: readonly CompiledPolicy[]): readonly CompiledPolicy[] {
  const known = blockers.get(policies);
  if (known !== undefined) return known;
  const found = policies.filter(({ process: { selectors, responses } }) =>
    responses.some(
      ({ match, actions }) =>
        actions.includes('block') &&
        match.some((index) => selectors[index]?.selector.sessionLeaderInteractive === true),
    ),
  );
  blockers.set(policies, found);
  return found;
}

const tries = new WeakMap<CompiledSection<ProcessSelector>, PathTrie>();

function trieOf(section: CompiledSection<ProcessSelector>): PathTrie {
  const known = tries.get(section);
  if (known !== undefined) return known;
  const rules = section.selectors.flatMap(({ selector: { processExecutable = [] } }, selector) =>
    processExecutable.map((pattern) => ({ selector, pattern })),
  );
  const trie = buildTrie(rules);
  tries.set(section, trie);
  return trie;
}
