/** What the status of a ContainerPolicy should say: pure, so that two leaders come to the same. */

import type { Condition, ContainerPolicy } from '../kubernetes/kinds.ts';
import type { ClusterPolicy } from '../kubernetes/policies.ts';
import { fanotify } from '../policy/blockRules.ts';
import { type CompiledPolicy, compile } from '../policy/compile.ts';
import { enforceability } from '../policy/enforceable.ts';
import type { Fault } from '../policy/types.ts';
import type { PodCount } from './tally.ts';

type Status = NonNullable<ContainerPolicy['status']>;
/** A condition without the time since when it holds. */
type Finding = Omit<Condition, 'lastTransitionTime' | 'observedGeneration'>;

/** Nobody reads more, and the API server takes at most 32 KiB in a message. */
const maxShown = 20;
const maxMessage = 8_192;

/**
 * @param isTaken whether a file has the ID of this policy, so that the object is not used
 * @param before the status that the object has
 * @param now RFC 3339
 */
export function policyStatus(
  policy: ClusterPolicy,
  isTaken: boolean,
  pods: PodCount,
  before: Status | undefined,
  now: string,
): Status {
  const findings = [accepted(policy, isTaken), enforceable(policy, isTaken)];
  return {
    observedGeneration: policy.generation,
    // Those of a taken ID are pods of the file's policy.
    boundPods: isTaken ? 0 : pods.bound,
    undecidedPods: isTaken ? 0 : pods.undecided,
    conditions: findings.map((finding) => {
      const last = before?.conditions?.find(({ type }) => type === finding.type);
      const lastTransitionTime = last?.status === finding.status ? last.lastTransitionTime : now;
      return { ...finding, observedGeneration: policy.generation, lastTransitionTime };
    }),
  };
}

function accepted({ id, generation, faults, good }: ClusterPolicy, isTaken: boolean): Finding {
  const type = 'Accepted';
  if (isTaken) {
    const message = `not in use: the policy ID \`${id}\` is already taken by a file of d4c-gate; rename this ContainerPolicy (POLICY_ID_DUPLICATE)`;
    return { type, status: 'False', reason: 'IdTaken', message };
  }
  const errors = faults.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) {
    const use = good === undefined ? 'not in use' : `generation ${good.generation} stays in use`;
    return { type, status: 'False', reason: 'Faults', message: listed(use, errors) };
  }
  const warnings = faults.filter(({ severity }) => severity === 'warning');
  if (warnings.length > 0)
    return { type, status: 'True', reason: 'Warnings', message: listed('in use', warnings) };
  return { type, status: 'True', reason: 'Valid', message: `generation ${generation} is in use` };
}

function enforceable({ id, generation, good }: ClusterPolicy, isTaken: boolean): Finding {
  const type = 'Enforceable';
  if (isTaken || good === undefined || good.generation !== generation) {
    return {
      type,
      status: 'Unknown',
      reason: 'NotAccepted',
      message: 'a policy that is not accepted enforces nothing',
    };
  }
  const { isWhole, reason, message } = enforcement(compile(id, good.policy));
  return { type, status: isWhole ? 'True' : 'False', reason, message };
}

/** What of a policy's blocks can be prevented, in words. */
export function enforcement(policy: CompiledPolicy): { isWhole: boolean; reason: string; message: string } {
  const { prevented, onlyReported } = enforceability(policy, fanotify);
  const { name, remedy } = fanotify;
  if (onlyReported.length === 0) {
    if (prevented.length === 0)
      return { isWhole: true, reason: 'NothingBlocked', message: 'no response blocks' };
    return { isWhole: true, reason: 'Prevented', message: `${name} prevents ${quoted(prevented)}` };
  }
  const limits = `cannot deny ${quoted(onlyReported)}, so this is reported and not refused; that takes ${remedy}`;
  if (prevented.length === 0) return { isWhole: false, reason: 'NotPrevented', message: `${name} ${limits}` };
  return {
    isWhole: false,
    reason: 'PartlyPrevented',
    message: `${name} prevents ${quoted(prevented)}; it ${limits}`,
  };
}

const quoted = (words: readonly string[]) => words.map((word) => `\`${word}\``).join(', ');

function listed(beginning: string, faults: readonly Fault[]): string {
  const lines = faults.slice(0, maxShown).map(lineOf);
  if (faults.length > maxShown) lines.push(`and ${faults.length - maxShown} more`);
  return `${beginning}: ${lines.join('; ')}`.slice(0, maxMessage);
}

/** As `/policies` says it. */
function lineOf({ path, message, code }: Fault): string {
  return `spec${path === '' || path.startsWith('[') ? path : `.${path}`}: ${message} (${code})`;
}
