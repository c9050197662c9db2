/** Text to policy in one step, for those who need no document in between. */

import { parse } from './parse.ts';
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
  const { document, faults } = parse(text);
  return document === undefined ? { faults } : validate(document, options);
}
