/**
 * What a namespace's mode makes of a decision: `observe` decides and reports as `enforce` does, and answers allow.
 *
 * An API server that asks has seen the label, which this replica may hear of later; so what is not known counts as
 * `enforce`, and before anything is refused the API server is asked for the namespace as it is.
 */

import { GateError } from '../errors.ts';
import { neverTouched } from '../kubernetes/names.ts';
import type { Live } from './live.ts';
import type { Review, ReviewAnswer } from './review.ts';
import { shortened } from './warnings.ts';

export interface Modes {
  readonly live?: Live;
  readonly ownNamespace?: string;
}

/**
 * The answer of `judge`, softened where the namespace is in `observe`. Namespaces that are never touched are allowed
 * unseen, also when a configuration made by hand asks about them.
 * @throws whatever `judge` does, but not POD_UNREADABLE in `observe`
 */
export async function judgeByMode(
  review: Review,
  { live, ownNamespace }: Modes,
  judge: () => ReviewAnswer | Promise<ReviewAnswer>,
): Promise<ReviewAnswer> {
  const { namespace } = review;
  if (neverTouched(ownNamespace).has(namespace)) return { allowed: true, audit: { mode: 'never' } };
  let answer: ReviewAnswer;
  let unjudged: GateError | undefined;
  try {
    answer = await judge();
  } catch (error) {
    if (!(error instanceof GateError) || error.code !== 'POD_UNREADABLE') throw error;
    unjudged = error;
    answer = { allowed: false, message: error.message };
  }
  if (answer.allowed) {
    const mode = live?.modeOf(namespace);
    return mode === undefined ? answer : { ...answer, audit: { ...answer.audit, mode } };
  }
  const mode = await live?.askMode(namespace);
  const reason = shortened(answer.message);
  const audit = { ...answer.audit, ...(mode && { mode }) };
  if (mode === 'observe') {
    const warning = shortened(`d4c-gate would refuse this in mode enforce: ${answer.message}`, 900);
    return {
      allowed: true,
      observed: answer.message,
      warnings: [...(answer.warnings ?? []), warning],
      audit: { ...audit, observed: reason },
    };
  }
  if (unjudged !== undefined) throw unjudged;
  return { ...answer, audit: { ...audit, refused: reason } };
}
