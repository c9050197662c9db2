/**
 * The node's enforcement point.
 *
 *   place: policies, modes, pods ───────┐
 *   gate: container found, first exec -> identify -> bind -> flatten -> publish -> gate
 *   gate: event, after its verdict -> observation -> documents -> sink
 *
 * Owns its connection to the keeper, the connections to runtimes and the followed containers; not the sink, which its
 * caller closes after it. Verdicts are given by the keeper and wait for nothing here: when this process is late or gone,
 * a container's first exec waits for at most `holdMs`, and documents are late.
 */

import { setImmediate as immediate } from 'node:timers/promises';
import { type DocumentContext, documentsOf } from '../events/document.ts';
import type { Mode } from '../events/observation.ts';
import type { Sink } from '../events/sink.ts';
import { reportFailure } from '../failures.ts';
import {
  type ContainerKey,
  type Gate,
  type GateStats,
  type KernelEvent,
  type OnAgentLoss,
  type OnDeadline,
  openGate,
} from '../native/gate.ts';
import type { KeeperPlace } from '../native/keeperProgram.ts';
import type { Verdict } from '../policy/types.ts';
import type { Generation } from '../sources/directory.ts';
import { watchAnnotations } from './annotationWatch.ts';
import { openContainers } from './containers.ts';
import { type FollowedContainer, followContainer } from './following.ts';
import { giveMemoryBackRegularly } from './freedMemory.ts';
import { checkHostRoot } from './hostRoot.ts';
import { decisionsOf, type KnownProcesses, observationOf } from './observations.ts';
import type { Concerned, OpenPlace, PodDifference } from './place.ts';
import { bootTimeUs, rootIndex } from './processes.ts';
import { readPublication } from './publication.ts';
import { openWaits } from './waits.ts';

export interface AgentOptions {
  /** Where the containers are: what policies may apply to each, and in which mode. Closed with the agent. */
  readonly place: OpenPlace;
  readonly sink: Sink;
  readonly mode: Mode;
  /** Milliseconds that a container's first exec waits for its policies. */
  readonly holdMs: number;
  /** What decides for a first exec that waited in vain. */
  readonly onUnknown: Verdict;
  /** What decides for a container with a table while this agent is gone and its keeper is not. */
  readonly onAgentLoss: OnAgentLoss;
  /** Milliseconds without a sign of life before its keeper takes this agent for gone. */
  readonly silenceMs: number;
  /** Milliseconds that judging one event may take; 0: no deadline. */
  readonly deadlineMs: number;
  readonly onDeadline: OnDeadline;
  /** What is not of the image is refused to interpreters, too, where its exec is. */
  readonly blockScripts: boolean;
  /** Containers in which new programs are blocked get `vm.memfd_noexec=2`. */
  readonly memfdNoexec: boolean;
  /** A process whose begin was logged is told to end, too. */
  readonly processEnds: boolean;
  readonly keeper: KeeperPlace;
  /** Whose pods do not wait while no agent is there, since they may be what brings it back. */
  readonly spareNamespaces?: readonly string[];
  readonly containerdSockets: readonly string[];
  readonly clusterName?: string | undefined;
  /** Where the host's root filesystem is seen (default: `/`). */
  readonly hostRoot?: string | undefined;
  /** Told of each pod whose annotations stay different from what is bound here. */
  readonly onDifference?: ((difference: PodDifference) => void) | undefined;
  /** Told when the keeper is gone, and when one answers again. */
  readonly onKeeper?: ((isThere: boolean) => void) | undefined;
  readonly documents: Omit<DocumentContext, 'generation'>;
}

export interface Agent {
  generation(): Generation;
  /** Why nothing can be refused on this machine, so that everything is only reported; `undefined` where it can. */
  unenforceable(): string | undefined;
  stats(): Promise<GateStats>;
  /** Resolves when another agent has taken the keeper over. */
  readonly taken: Promise<void>;
  /**
   * Lets go of every container, leaves nothing asleep, and hands what was seen to the sink; with `keepsGate` the
   * keeper goes on as it is. Twice is fine.
   */
  close(options?: { readonly keepsGate?: boolean }): Promise<void>;
}

/** In turns, so that a flood of events does not keep a starting container waiting. */
const eventsPerTurn = 500;
/** Of what was published with tables. Each says a few kB of a container and its policies. */
const maxPublicationsLength = 4 << 20;

/**
 * Opens the gate. When it resolves, no container that starts from then on runs anything unseen; those that ran
 * before are identified in the next moments.
 * @throws FILE_UNREADABLE, POLICIES_INVALID, HOST_ROOT_UNUSABLE, GATE_NOT_BUILT, GATE_NOT_PERMITTED, GATE_UNSUPPORTED,
 * KEEPER_FAILED, KEEPER_UNREACHABLE, KEEPER_VERSION
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  const {
    place: openPlace,
    sink,
    keeper,
    containerdSockets,
    clusterName,
    documents,
    onDifference,
    hostRoot = '/',
    spareNamespaces = [],
    ...forGate
  } = options;
  checkHostRoot(hostRoot);
  const followed = new Map<ContainerKey, FollowedContainer>();
  const bootUs = bootTimeUs();

  const place = await openPlace((concerned) => {
    for (const container of followed.values()) {
      if (concerned === undefined || isOf(container, concerned)) container.rebind();
    }
  });
  const containers = openContainers({
    containerdSockets,
    // A runtime that does not answer must leave time to ask again before `onUnknown` decides.
    deadlineMs: Math.max(50, Math.floor(forGate.holdMs / 4)),
    clusterName,
    hostRoot,
    onError: (error) => reportFailure('runtime_unanswered', { reason: String(error) }),
  });

  const outputs = openWaits();
  const publicationOf = rememberSome(readPublication);
  const known: KnownProcesses = new Map();
  const write = (event: KernelEvent): void => {
    // What no rule decided has been counted as a failure, and there is no policy to write for.
    if (event.policies.length === 0) return;
    const publication = publicationOf(event.context ?? '');
    if (publication === undefined) {
      reportFailure('event_report_dropped', { container: event.key });
      return;
    }
    const identity = place.complete(publication.identity);
    const observation = observationOf(event, identity, publication.mode, bootUs, known);
    const context = { ...documents, generation: publication.generation };
    for (const document of documentsOf(observation, decisionsOf(event, publication.policies), context)) {
      sink.write(document);
    }
  };

  let gate: Gate;
  try {
    gate = await openGate(
      {
        ...forGate,
        spareNamespaces,
        hostRoot,
        mayOnlyHear: true,
        // INVARIANT: the gate calls back on later turns of the event loop, never while it opens.
        onContainer: (found) => followed.set(found.key, followContainer(found, surroundings)),
        onFirstExec: ({ key, pid }) => followed.get(key)?.firstExec(pid),
        onContainerGone(key) {
          followed.get(key)?.forget();
          followed.delete(key);
        },
        async onEvents(events) {
          for (const [index, event] of events.entries()) {
            if (index > 0 && index % eventsPerTurn === 0) await immediate();
            try {
              write(event);
            } catch (error) {
              reportFailure('event_report_dropped', { reason: String(error) });
            }
          }
          // Until then the keeper has them, too.
          await outputs.until(sink.written());
        },
        onFailure: (failure, count, detail) => reportFailure(failure, { detail }, count),
      },
      keeper,
    );
  } catch (error) {
    await place.close();
    containers.close();
    throw error;
  }
  const surroundings = { gate, containers, roots: rootIndex(), place, onUnknown: forGate.onUnknown };

  const freedMemory = giveMemoryBackRegularly();
  const annotations = watchAnnotations(place, { onDifference });

  return {
    generation: place.generation,
    unenforceable: gate.unenforceable,
    stats: () => gate.stats(),
    taken: gate.taken,
    async close({ keepsGate = false } = {}) {
      annotations.close();
      freedMemory.close();
      outputs.giveUp();
      await (keepsGate ? gate.leave() : gate.close());
      for (const container of followed.values()) container.forget();
      followed.clear();
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

/** As `read`, of which the answers for some texts are kept: events of many containers come by turns. */
function rememberSome<T>(read: (text: string) => T): (text: string) => T {
  const kept = new Map<string, T>();
  let length = 0;
  return (text) => {
    const before = kept.get(text);
    if (before !== undefined) return before;
    length += text.length;
    if (length > maxPublicationsLength) {
      kept.clear();
      length = text.length;
    }
    const value = read(text);
    kept.set(text, value);
    return value;
  };
}
