/** Opens the agent, and in a cluster goes on trying where the kernel does not let it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { GateError } from '../errors.ts';
import { log } from '../log.ts';
import type { Agent, AgentOptions } from '../node/agent.ts';
import type { Health } from '../node/health.ts';
import type { NodeCluster } from './nodeCluster.ts';

/** How long until a gate that the kernel refused is tried again, where the process must not end. */
const openAgainMs = 60_000;

/**
 * On a plain host whoever started the agent sees why it ends. In a cluster an agent that ended would be started again
 * and again, so there it stays, says why nothing is gated, and tries again. `undefined`: told to stop meanwhile.
 * @throws as `openAgent`
 */
export async function openPatiently(
  options: AgentOptions,
  cluster: NodeCluster | undefined,
  health: Health,
  stopping: AbortSignal,
): Promise<Agent | undefined> {
  // Loaded here alone: gRPC would more than double the start of every other subcommand.
  const { openAgent } = await import('../node/agent.ts');
  let isTold = false;
  while (!stopping.aborted) {
    try {
      return await openAgent(options);
    } catch (error) {
      if (cluster === undefined || !(error instanceof GateError) || !isOfKernel(error)) throw error;
      log.error({ code: error.code, reason: error.message }, 'nothing is gated on this node');
      health.set({ isReady: false, reason: `nothing is gated on this node: ${error.message}` });
      if (!isTold) cluster.tellUngated(error);
      isTold = true;
      await sleep(openAgainMs, undefined, { signal: stopping }).catch(() => undefined);
    }
  }
  return undefined;
}

function isOfKernel({ code }: GateError): boolean {
  return (
    code.startsWith('KEEPER_') ||
    ['GATE_NOT_PERMITTED', 'GATE_UNSUPPORTED', 'GATE_NOT_BUILT', 'HOST_ROOT_UNUSABLE'].includes(code)
  );
}
