/** Text to policy in one step, for those who need no document in between. */

import { parse, parseJson } from './parse.ts';
import type { Fault, Policy } from './types.ts';
import { type ValidateOptions, validate } from './validate.ts';

/**
 * The policy of a text (YAML or JSON, bare or in an envelope), present exactly when no fault has severity error,
 * and every fault in the order of its position. Never throws, whatever the text; time is linear in its length.
 */
export function readPolicy(
  text: string,
  options: ValidateOptions = {},
): { policy?: Policy; faults: Fault[] } {
  return resultOf(parse(text), options);
}

/** As `readPolicy`, of a text that `JSON.stringify` made, and some eight times as fast. Lines and columns of the faults mean nothing. */
export function readPolicyJson(
  text: string,
  options: ValidateOptions = {},
): { policy?: Policy; faults: Fault[] } {
  return resultOf(parseJson(text), options);
}

function resultOf(
  { document, faults }: ReturnType<typeof parse>,
  options: ValidateOptions,
): { policy?: Policy; faults: Fault[] } {
  return document === undefined ? { faults } : validate(document, options);
}
