/** Counts how often policies are looked at: what a decision costs, whatever else the machine does meanwhile. */

import type { CompiledPolicy } from '../../src/policy/compile.ts';

/** Gives how many times one of the policies has been judged since it was last asked. Call it once they are indexed. */
export function countLooks(policies: readonly CompiledPolicy[]): () => number {
  let looks = 0;
  for (const policy of policies) {
    const { file } = policy;
    Object.defineProperty(policy, 'file', {
      get() {
        looks += 1;
        return file;
      },
    });
  }
  return () => {
    const before = looks;
    looks = 0;
    return before;
  };
}
