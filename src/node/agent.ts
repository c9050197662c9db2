/**
 * The node's enforcement point.
 *
 *   policies -> generation ─────────────┐
 *   gate: container found, first exec -> identify -> bind -> flatten -> publish -> gate
 *   gate: event, after its verdict -> observation -> documents -> sink
 *
 * Owns the gate, the connections to runtimes and the followed containers; not the sink, which its caller
 * closes after it. Verdicts are given in C++ and wait for nothing here: when this file is late, a container's
 * first exec waits for at most `holdMs`, and documents are late.
 */

import { type DocumentContext, documentsOf } from '../events/document.ts';
import type { Mode } from '../events/observation.ts';
import type { Sink } from '../events/sink.ts';
import { reportFailure } from '../failures.ts';
import {
  type ContainerKey,
  type Gate,
  type GateStats,
  type KernelEvent,
  openGate,
} from '../native/binding.ts';
import type { Verdict } from '../policy/types.ts';
import { type Generation, watchDirectory } from '../sources/directory.ts';
import { openContainers } from './containers.ts';
import { type FollowedContainer, followContainer } from './following.ts';
import { decisionsOf, observationOf } from './observations.ts';
import { bootTimeUs, rootIndex } from './processes.ts';

export interface AgentOptions {
  /** A folder of policy files, followed while the agent runs. */
  readonly policies: string;
  readonly sink: Sink;
  readonly mode: Mode;
  /** Milliseconds that a container's first exec waits for its policies. */
  readonly holdMs: number;
  /** What decides for a first exec that waited in vain. */
  readonly onUnknown: Verdict;
  readonly containerdSockets: readonly string[];
  readonly clusterId?: string | undefined;
  readonly clusterName?: string | undefined;
  readonly documents: Omit<DocumentContext, 'generation'>;
}

export interface Agent {
  generation(): Generation;
  stats(): GateStats;
  /** Lets go of every container, leaves nothing asleep, and hands what was seen to the sink. Twice is fine. */
  close(): Promise<void>;
}

const eventsPerTurn = 500;
const maxWaitingEvents = 200_000;

/**
 * Opens the gate. When it resolves, no container that starts from then on runs anything unseen; those that ran
 * before are identified in the next moments.
 * @throws FILE_UNREADABLE, POLICIES_INVALID, GATE_NOT_BUILT, GATE_NOT_PERMITTED, GATE_UNSUPPORTED
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  const { mode, holdMs, onUnknown, sink, clusterId, clusterName, documents } = options;
  const followed = new Map<ContainerKey, FollowedContainer>();
  const bootUs = bootTimeUs();
  let waiting: { event: KernelEvent; container: FollowedContainer }[] = [];
  let turn: NodeJS.Immediate | undefined;
  let publications = 0;

  const policies = await watchDirectory(options.policies, {
    ...(clusterName !== undefined && { clusterName }),
    onGeneration: () => {
      for (const container of followed.values()) container.rebind();
    },
  });
  const containers = openContainers({
    containerdSockets: options.containerdSockets,
    // A runtime that does not answer must leave time to ask again before `onUnknown` decides.
    deadlineMs: Math.max(50, Math.floor(holdMs / 4)),
    clusterId,
    clusterName,
    onError: (error) => reportFailure('runtime_unanswered', { reason: String(error) }),
  });

  const write = (event: KernelEvent, container: FollowedContainer): void => {
    const publication = container.publication(event.generation);
    // Nobody knew a policy: the failure `container_unknown` has been counted, and there is none to write for.
    if (event.decidedBy === 'unknown') return;
    if (publication === undefined) {
      reportFailure('event_report_dropped', { container: event.key });
      return;
    }
    const observation = observationOf(event, container.identity(), mode, bootUs);
    const context = { ...documents, generation: publication.generation };
    for (const document of documentsOf(observation, decisionsOf(event, publication.policies), context)) {
      sink.write(document);
    }
  };
  const writeSome = (count: number): void => {
    const some = waiting.slice(0, count);
    waiting = waiting.slice(count);
    for (const { event, container } of some) {
      try {
        write(event, container);
      } catch (error) {
        reportFailure('event_report_dropped', { reason: String(error) });
      }
    }
  };
  /** In turns, so that a flood of events does not keep a starting container waiting. */
  const writeTurn = (): void => {
    writeSome(eventsPerTurn);
    turn = waiting.length > 0 ? setImmediate(writeTurn) : undefined;
  };

  let gate: Gate;
  try {
    gate = openGate({
      mode,
      holdMs,
      onUnknown,
      // INVARIANT: the addon calls back on later turns of the event loop, never while it opens.
      onContainer: (found) => followed.set(found.key, followContainer(found, surroundings)),
      onFirstExec: ({ key, pid }) => followed.get(key)?.firstExec(pid),
      onContainerGone(key) {
        followed.get(key)?.forget();
        followed.delete(key);
      },
      onEvents(events) {
        for (const event of events) {
          const container = followed.get(event.key);
          if (container === undefined || waiting.length >= maxWaitingEvents) {
            reportFailure('event_report_dropped', { container: event.key });
          } else waiting.push({ event, container });
        }
        turn ??= setImmediate(writeTurn);
      },
      onFailure: (failure, count, detail) => reportFailure(failure, { detail }, count),
    });
  } catch (error) {
    policies.close();
    containers.close();
    throw error;
  }
  const surroundings = {
    gate,
    containers,
    roots: rootIndex(),
    generation: policies.current,
    onUnknown,
    nextPublication: () => ++publications,
  };

  return {
    generation: policies.current,
    stats: () => gate.stats(),
    async close() {
      policies.close();
      gate.close();
      for (const container of followed.values()) container.forget();
      followed.clear();
      clearImmediate(turn);
      writeSome(waiting.length);
      containers.close();
    },
  };
}
