/** Identities and policies for tests of what is made from them. */

import { type ContainerIdentity, unknownIdentity } from '../../src/node/identity.ts';
import { type CompiledPolicy, compile } from '../../src/policy/compile.ts';
import { parseImage } from '../../src/policy/image.ts';
import { readPolicy } from '../../src/policy/read.ts';
import type { Workload } from '../../src/policy/types.ts';

/** A policy that blocks `exec` of `/tmp/**`, narrowed by one more condition, such as `containerImageName: [web]`. */
export function execPolicy(id: string, condition = ''): CompiledPolicy {
  const { policy, faults } = readPolicy(`
process:
  selectors:
    - name: dropped
      operation: [exec]
      processExecutable: ["/tmp/**"]
      ${condition}
  responses:
    - match: [dropped]
      actions: [alert, block]
`);
  if (policy === undefined) throw new Error(JSON.stringify(faults));
  return compile(id, policy);
}

/** A container outside of Kubernetes, of which everything is known but what `workload` says. */
export function identityWith(workload: Partial<Workload>, id = 'c1'): ContainerIdentity {
  return {
    ...unknownIdentity,
    id,
    runtime: 'containerd',
    name: null,
    privileged: false,
    pod: null,
    workload: {
      image: parseImage('registry.example/web:1'),
      namespace: null,
      podName: null,
      podLabels: null,
      clusterId: null,
      clusterName: null,
      ...workload,
    },
  };
}
