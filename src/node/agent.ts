/**
 * The node's enforcement point.
 *
 *   place: policies, modes, pods ───────┐
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
import type { Generation } from '../sources/directory.ts';
import { watchAnnotations } from './annotationWatch.ts';
import { openContainers } from './containers.ts';
import { type FollowedContainer, followContainer } from './following.ts';
import { checkHostRoot } from './hostRoot.ts';
import { decisionsOf, observationOf } from './observations.ts';
import type { Concerned, OpenPlace, PodDifference } from './place.ts';
import { bootTimeUs, rootIndex } from './processes.ts';

export interface AgentOptions {
  /** Where the containers are: what policies may apply to each, and in which mode. Closed with the agent. */
  readonly place: OpenPlace;
  readonly sink: Sink;
  readonly mode: Mode;
  /** Milliseconds that a container's first exec waits for its policies. */
  readonly holdMs: number;
  /** What decides for a first exec that waited in vain. */
  readonly onUnknown: Verdict;
  readonly containerdSockets: readonly string[];
  readonly clusterName?: string | undefined;
  /** Where the host's root filesystem is seen (default: `/`). */
  readonly hostRoot?: string | undefined;
  /** Told of each pod whose annotations stay different from what is bound here. */
  readonly onDifference?: ((difference: PodDifference) => void) | undefined;
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
 * @throws FILE_UNREADABLE, POLICIES_INVALID, HOST_ROOT_UNUSABLE, GATE_NOT_BUILT, GATE_NOT_PERMITTED, GATE_UNSUPPORTED
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  const { mode, holdMs, onUnknown, sink, clusterName, documents, hostRoot = '/' } = options;
  checkHostRoot(hostRoot);
  const followed = new Map<ContainerKey, FollowedContainer>();
  const bootUs = bootTimeUs();
  let waiting: { event: KernelEvent; container: FollowedContainer }[] = [];
  let turn: NodeJS.Immediate | undefined;
  let publications = 0;

  const place = await options.place((concerned) => {
    for (const container of followed.values()) {
      if (concerned === undefined || isOf(container, concerned)) container.rebind();
    }
  });
  const containers = openContainers({
    containerdSockets: options.containerdSockets,
    // A runtime that does not answer must leave time to ask again before `onUnknown` decides.
    deadlineMs: Math.max(50, Math.floor(holdMs / 4)),
    clusterName,
    hostRoot,
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
    const observation = observationOf(event, container.identity(), publication.mode, bootUs);
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
      hostRoot,
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
    await place.close();
    containers.close();
    throw error;
  }
  const surroundings = {
    gate,
    containers,
    roots: rootIndex(),
    place,
    onUnknown,
    nextPublication: () => ++publications,
  };

  const annotations = watchAnnotations(place, { onDifference: options.onDifference });

  return {
    generation: place.generation,
    stats: () => gate.stats(),
    async close() {
      annotations.close();
      gate.close();
      for (const container of followed.values()) container.forget();
      followed.clear();
      clearImmediate(turn);
      writeSome(waiting.length);
      containers.close();
      await place.close();
    },
  };
}

function isOf(container: FollowedContainer, { namespace, podName }: Concerned): boolean {
  const { pod } = container.identity();
  // Who is not known yet may be meant.
  if (pod === undefined || pod === null) return pod === undefined;
  return pod.namespace === namespace && (podName === undefined || pod.name === podName);
}
