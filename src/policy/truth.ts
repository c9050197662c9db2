/** Kleene's three-valued logic: what is not known yet is `unknown`, never `no`. */

import type { Truth } from './types.ts';

/** `no` when either is `no`, `yes` when both are `yes`, else `unknown`. */
export function and(left: Truth, right: Truth): Truth {
  if (left === 'no' || right === 'no') return 'no';
  return left === 'yes' && right === 'yes' ? 'yes' : 'unknown';
}

/** `yes` when either is `yes`, `no` when both are `no`, else `unknown`. */
export function or(left: Truth, right: Truth): Truth {
  if (left === 'yes' || right === 'yes') return 'yes';
  return left === 'no' && right === 'no' ? 'no' : 'unknown';
}

/** The opposite; of `unknown` it is `unknown`. */
export function not(truth: Truth): Truth {
  if (truth === 'unknown') return 'unknown';
  return truth === 'yes' ? 'no' : 'yes';
}

/** `yes` or `no`, for what is always known. */
export function truthOf(holds: boolean): Truth {
  return holds ? 'yes' : 'no';
}
