/** From what is known of a container to the table that decides for it. */

import type { GateMode } from '../native/contract.ts';
import { bind } from '../policy/bind.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import type { BoundPolicy, BoundSection, Verdict } from '../policy/types.ts';
import { flatten } from './flatten.ts';
import { type ContainerIdentity, isComplete } from './identity.ts';

/** The policies of one container, and their decision table: the indexes in a verdict mean `policies`. */
export interface Binding {
  /** Those that apply, or may apply while something is unknown that no runtime can tell. */
  readonly policies: readonly BoundPolicy[];
  /** `null`: no policy applies. */
  readonly table: Uint8Array | null;
}

/**
 * The binding of a container, or `undefined` while a policy asks for something that is not known yet and that
 * a runtime may still tell. `onUnknown` decides about conditions that nobody can ever tell; with `mode` `observe`
 * nothing is refused.
 */
export function bindContainer(
  policies: readonly CompiledPolicy[],
  identity: ContainerIdentity,
  onUnknown: Verdict,
  mode: GateMode = 'enforce',
): Binding | undefined {
  const bound = policies.map((policy) => bind(policy, identity.workload));
  if (!isComplete(identity) && !bound.every(isSettled)) return undefined;
  const applying = bound.filter(({ applies }) => applies !== 'no');
  return { policies: applying, table: applying.length === 0 ? null : flatten(applying, onUnknown, mode) };
}

/** Whether nothing that is still unknown can change what the policy decides. */
function isSettled({ applies, file, process }: BoundPolicy): boolean {
  return applies === 'no' || (isSectionSettled(file) && isSectionSettled(process));
}

function isSectionSettled<S>({ selectors, responses }: BoundSection<S>): boolean {
  return responses
    .flatMap(({ match, exclude }) => [...match, ...exclude])
    .every((index) => selectors[index]?.workload !== 'unknown');
}
