/** Pods of namespaces that are never gated start while no agent is there: one of them may be the agent's own. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateRequirements, hostWithKeeper } from '../support/gateHost.ts';
import { testGate } from '../support/testGate.ts';

const key = 'io.kubernetes.cri.sandbox-namespace';

test('a keeper without an agent lets pods of spared namespaces start, and no other that it should refuse', {
  skip: gateRequirements(),
}, async (t) => {
  const { host, keeper } = await hostWithKeeper(t);
  const options = { holdMs: 300, onUnknown: 'deny', spareNamespaces: ['kube-system', 'd4c-gate'] } as const;
  const place = { how: 'start', socket: keeper.socket } as const;
  const agent = await testGate({ options, publish: 'never', place });
  const run = async (annotations: Record<string, string>) =>
    (await host.runRunc({ args: ['/bin/echo', 'ran'], annotations })).stdout.trim();

  assert.equal(await run({ [key]: 'd4c-gate' }), '', 'with an agent, the agent says who is let alone');
  await agent.kill();
  assert.equal(await run({ [key]: 'd4c-gate' }), 'ran');
  assert.equal(await run({ [key]: 'shop' }), '');
  assert.equal(await run({ [key]: 'd4c-gate-2' }), '');
  assert.equal(await run({ mine: `"${key}":"d4c-gate"` }), '', 'what a pod brings is not believed');
});
