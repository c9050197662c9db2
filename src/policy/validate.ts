/** From a `PolicyDocument` to a `Policy`: the one place where a policy is found to be sound. */

import type { PolicyDocument } from './tree.ts';
import type { Fault, FileOperation, Policy, ProcessOperation } from './types.ts';

export interface ValidateOptions {
  /** `strict`: what Elastic's guide says. `lenient`: what Elastic's editor accepts. Default: strict. */
  readonly mode?: 'strict' | 'lenient';
  /** The configured name of the cluster, where there is one. */
  readonly clusterName?: string | undefined;
  /** The enforcement backend, and the operations it cannot deny. Default: fanotify. */
  readonly backend?: Backend;
}

/** What an enforcement backend cannot deny, for POLICY_NOT_BLOCKABLE. */
export interface Backend {
  readonly name: string;
  readonly cannotDeny: ReadonlySet<FileOperation | ProcessOperation>;
  /** What would make the rest possible, as in "needs BPF LSM". */
  readonly remedy: string;
}

/** The policy, present exactly when no fault has severity error, and every fault. Never throws. */
export function validate(
  document: PolicyDocument,
  options: ValidateOptions = {},
): { policy?: Policy; faults: Fault[] } {
  void options;
  return { faults: [...document.faults] };
}
