/** What authors of ContainerPolicies are told: every fault of a policy in one answer, each with its place. */

import { GateError } from '../errors.ts';
import { readPolicyJson } from '../policy/read.ts';
import type { Fault } from '../policy/types.ts';
import { isJsonObject, isWrite, type JsonObject, type Review, type ReviewAnswer } from './review.ts';

/** What policies are held to. */
export interface Authoring {
  /** Default: strict. */
  readonly mode?: 'strict' | 'lenient';
  readonly clusterName?: string | undefined;
  /** Whether a policy from elsewhere than the cluster has this ID (default: none has). */
  readonly isTaken?: (id: string) => boolean;
}

/** Nobody reads more, and an answer must not be much larger than the request. */
const maxShown = 50;

/**
 * Refuses a policy that could not be used. An UPDATE that leaves the specification alone is never refused: labels and
 * finalizers must change also when the rules have become stricter.
 * @throws REVIEW_OBJECT
 */
export function judgePolicy(review: Review, authoring: Authoring): ReviewAnswer {
  if (review.resource !== 'containerpolicies.d4c-gate.io' || !isWrite(review)) return { allowed: true };
  const text = specOf(review.object);
  if (review.operation === 'UPDATE' && text === specOf(review.oldObject)) return { allowed: true };
  const { mode = 'strict', clusterName, isTaken } = authoring;
  const { faults } = readPolicyJson(text, { mode, ...(clusterName !== undefined && { clusterName }) });
  const errors = faults.filter(({ severity }) => severity === 'error').map(lineOf);
  const warnings = shortened(faults.filter(({ severity }) => severity === 'warning').map(lineOf));
  if (isTaken?.(review.name) === true) {
    errors.unshift(
      `metadata.name: the policy ID \`${review.name}\` is already taken by a file of d4c-gate; choose another name (POLICY_ID_DUPLICATE)`,
    );
  }
  const audit = { faults: `${errors.length} errors, ${warnings.length} warnings` };
  if (errors.length === 0) return { allowed: true, warnings, audit };
  return { allowed: false, message: shortened(errors).join('; '), warnings, audit };
}

function specOf(object: unknown): string {
  if (!isJsonObject(object)) throw new GateError('REVIEW_OBJECT', 'the object is not a ContainerPolicy');
  return JSON.stringify((object as JsonObject).spec ?? null);
}

/** Without line and column: they would be those of a text that the author never saw. */
function lineOf({ path, message, code }: Fault): string {
  return `spec${path === '' || path.startsWith('[') ? path : `.${path}`}: ${message} (${code})`;
}

function shortened(lines: readonly string[]): string[] {
  if (lines.length <= maxShown) return [...lines];
  return [...lines.slice(0, maxShown), `and ${lines.length - maxShown} more`];
}
