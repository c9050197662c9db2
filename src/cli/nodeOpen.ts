/** Opens the agent, and in a cluster goes on trying where the kernel does not let it. */

import { setTimeout as sleep } from 'node:timers/promises';
import { GateError } from '../errors.ts';
import type { Mode } from '../events/observation.ts';
import { log } from '../log.ts';
import { readKeeperStatus } from '../native/keeperStatus.ts';
import type { Agent, AgentOptions } from '../node/agent.ts';
import type { Health } from '../node/health.ts';
import type { HealthState } from '../node/healthFile.ts';
import type { NodeCluster } from './nodeCluster.ts';

/** How long until a gate that the kernel refused is tried again, where the process must not end. */
const openAgainMs = 60_000;
/** A keeper is started beside the agent, or again. */
const joinAgainMs = 1_000;
/** From then on a keeper that does not come is told of like a kernel that refuses. */
const keeperIsLateMs = 30_000;
/** How often an agent that was replaced looks whether the other one is still there. */
const lookAgainMs = 2_000;

/**
 * On a plain host whoever started the agent sees why it ends. In a cluster an agent that ended would be started again
 * and again, so there it stays, says why nothing is gated, and tries again; as it does anywhere when the kernel is the reason
 * and the keeper is not its own, since such an agent is some init system's. `undefined`: told to stop meanwhile.
 * @throws as `openAgent`
 */
export async function openPatiently(
  options: AgentOptions,
  cluster: NodeCluster | undefined,
  health: Health,
  stopping: AbortSignal,
): Promise<Agent | undefined> {
  // Loaded once it is needed: an agent that stands by or is told to end needs nothing of it.
  const { openAgent } = await import('../node/agent.ts');
  const startedAt = performance.now();
  let isTold = false;
  let lastSaid = '';
  while (!stopping.aborted) {
    try {
      return await openAgent(options);
    } catch (error) {
      if (!(error instanceof GateError) || !isOfKernel(error)) throw error;
      const isStartedAgain = options.keeper.how === 'join' && isRefusedByKernel(error);
      if (cluster === undefined && !isStartedAgain) throw error;
      const isOtherVersion = error.code === 'KEEPER_VERSION';
      const isComing =
        options.keeper.how === 'join' && (isOtherVersion || error.code === 'KEEPER_UNREACHABLE');
      // A keeper of another version goes on with what it has, and so does an older agent that it understands.
      const what = isOtherVersion ? 'this agent binds nothing on this node' : 'nothing is gated on this node';
      if (error.message !== lastSaid || !isComing) {
        log.error({ code: error.code, reason: error.message }, what);
      }
      lastSaid = error.message;
      health.set({ isReady: false, reason: `${what}: ${error.message} (${error.code})` });
      const isLate = !isComing || performance.now() - startedAt > keeperIsLateMs;
      if (!isTold && isLate) cluster?.tellUngated(error);
      isTold ||= isLate;
      await pause(isComing ? joinAgainMs : openAgainMs, stopping);
    }
  }
  return undefined;
}

/**
 * Says what an agent cannot do whose kernel lets it refuse nothing, and how ready it is then: where policies are to be enforced it
 * must not look as if they were. In mode observe nothing would be refused anyway. `undefined`: it can do all.
 */
export function tellUnenforceable(
  agent: Pick<Agent, 'unenforceable'>,
  mode: Mode,
  cluster: NodeCluster | undefined,
): HealthState | undefined {
  const why = agent.unenforceable();
  if (why === undefined) return undefined;
  const what = 'no rule that blocks is enforceable on this node, what happens is only reported';
  const reason = `${what}: ${why} (GATE_UNSUPPORTED)`;
  const isReady = mode === 'observe';
  const advice =
    'a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS enforces; where reports are enough, `--mode observe` says so';
  log[isReady ? 'warn' : 'error']({ code: 'GATE_UNSUPPORTED', reason: why, advice }, what);
  if (!isReady) cluster?.tellUnenforceable(reason);
  return { isReady, reason };
}

/**
 * Resolves when no agent is with the keeper any more, or the signal comes. The newer agent of an upgrade may fail: then
 * the older one, whose pod is still there, goes on.
 */
export async function standBy(keeperSocket: string, stopping: AbortSignal): Promise<void> {
  let isAlone = false;
  while (!stopping.aborted) {
    await pause(lookAgainMs, stopping);
    const status = await readKeeperStatus(keeperSocket).catch(() => undefined);
    // Twice, so that an agent that only restarts its connection keeps its place. A keeper that is gone has no agent.
    const wasAlone = isAlone;
    isAlone = status?.hasAgent !== true;
    if (isAlone && wasAlone) return;
  }
}

async function pause(ms: number, stopping: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: stopping }).catch(() => undefined);
}

/** Whether the kernel lets the keeper open no gate, and not this process the way to the keeper. */
function isRefusedByKernel({ code, cause }: GateError): boolean {
  return code === 'GATE_UNSUPPORTED' || (code === 'GATE_NOT_PERMITTED' && cause === undefined);
}

function isOfKernel({ code }: GateError): boolean {
  return (
    code.startsWith('KEEPER_') ||
    ['GATE_NOT_PERMITTED', 'GATE_UNSUPPORTED', 'GATE_NOT_BUILT', 'HOST_ROOT_UNUSABLE'].includes(code)
  );
}
