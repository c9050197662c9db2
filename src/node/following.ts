/**
 * One container from the moment its root filesystem is found until that is gone: asks who it is until nothing
 * more can be told, and publishes its table as soon as the policies are decided, and again with every generation.
 *
 *   found -> identify -> bind -> publish
 *      ^________|  again, at a growing distance, while something is unknown; at once at its first exec
 *
 * Who is not identified in time is answered by `onUnknown` in C++; the asking goes on, so that a late identity
 * still binds.
 */

import { existsSync } from 'node:fs';
import { reportFailure } from '../failures.ts';
import { log } from '../log.ts';
import type { FoundContainer, Gate } from '../native/gate.ts';
import type { Verdict } from '../policy/types.ts';
import { bindContainer } from './binding.ts';
import { idOfMountPoint } from './cgroup.ts';
import type { Containers } from './containers.ts';
import { type ContainerIdentity, isComplete, unknownIdentity } from './identity.ts';
import type { Place } from './place.ts';
import type { RootIndex } from './processes.ts';
import { namesOf, readPublication, writePublication } from './publication.ts';

/** What following a container needs of the agent. */
export interface Surroundings {
  readonly gate: Pick<Gate, 'publish' | 'adopt'>;
  readonly containers: Containers;
  readonly roots: RootIndex;
  readonly place: Pick<Place, 'basisOf' | 'complete'>;
  readonly onUnknown: Verdict;
}

export interface FollowedContainer {
  /** What is known of it now. */
  identity(): ContainerIdentity;
  /** A process of the container waits for the table. */
  firstExec(pid: number): void;
  /** Binds to what is known now and publishes. */
  rebind(): void;
  /** The container is gone: asks no more. */
  forget(): void;
}

const leftAlone = { policies: [], mode: 'observe', generation: 0 } as const;
/** Processes that may be the container's, of which each is asked for. */
const maxCandidates = 16;
const retryFirstMs = 10;
const retryLongestMs = 10_000;

export function followContainer(found: FoundContainer, surroundings: Surroundings): FollowedContainer {
  const { gate, containers, roots, place, onUnknown } = surroundings;
  // An earlier agent of the same keeper may have known it. Its processes may have ended since.
  let identity: ContainerIdentity = readPublication(found.context ?? '')?.identity ?? unknownIdentity;
  let pid = found.pid === undefined || !existsSync(`/proc/${found.pid}`) ? undefined : found.pid;
  let publications = 0;
  let isUnseenTold = false;
  let isGone = false;
  let isAsking = false;
  let askAgain = false;
  let retryMs = retryFirstMs;
  let timer: NodeJS.Timeout | undefined;

  const publish = (): void => {
    if (isGone) return;
    try {
      const whole = place.complete(identity);
      const basis = place.basisOf(whole);
      if (basis === undefined) return;
      const { policies, mode, generation } = basis ?? leftAlone;
      const binding = bindContainer(policies, whole, onUnknown, mode);
      if (binding === undefined) return;
      const names = binding.policies.map(namesOf);
      const publication = { generation, mode, identity: whole, policies: names };
      gate.publish(found.key, binding.table, generation, writePublication(publication), names);
      const policyIds = binding.policies.map(({ id }) => id);
      const { id: container, pod, workload } = whole;
      const where = pod ? { namespace: pod.namespace, pod: pod.name } : {};
      if (!isUnseenTold && whole.unseenIn !== undefined && policyIds.length > 0) {
        isUnseenTold = true;
        reportFailure('container_unseen', { container, ...where, runtime: whole.unseenIn });
      }
      const level = publications++ === 0 && basis !== null ? 'info' : 'debug';
      log[level](
        { container, ...where, image: workload.image?.fullName, policies: policyIds, mode, generation },
        basis === null ? 'container left alone' : 'container bound',
      );
    } catch (error) {
      reportFailure('publish_failed', { container: identity.id, reason: String(error) });
    }
  };

  /** A container that ran before the gate opened has had its first exec: its processes are looked for. */
  const findProcess = async (): Promise<void> => {
    if (pid !== undefined || !found.mayRun || !found.first) return;
    // One of the host may have made the root filesystem its root.
    for (const running of (await roots.processesOn(found.device)).slice(0, maxCandidates)) {
      if (isGone) return;
      if ((await gate.adopt(found.key, running)) === undefined) continue;
      pid = running;
      return;
    }
  };

  const ask = async (): Promise<void> => {
    await findProcess();
    const mountPoint = found.first ? found.mountPoint : undefined;
    const told = await containers.identify({ mountPoint, pid });
    if (isGone || told.id === undefined) return;
    identity = told;
    publish();
  };

  const askUntilTold = async (): Promise<void> => {
    if (isGone || isComplete(identity)) return;
    if (isAsking) {
      askAgain = true;
      return;
    }
    isAsking = true;
    clearTimeout(timer);
    await ask().catch((error: unknown) => reportFailure('runtime_unanswered', { reason: String(error) }));
    isAsking = false;
    if (isGone || isComplete(identity)) return;
    timer = setTimeout(askUntilTold, askAgain ? 0 : retryMs);
    retryMs = Math.min(2 * retryMs, retryLongestMs);
    askAgain = false;
  };

  // INVARIANT: a container is bound by what cannot be of an earlier one. A mount point that carries an ID is
  // of this container; another folder may be used again, so only a process on it tells who that is.
  const hasId = found.first && idOfMountPoint(found.mountPoint) !== undefined;
  const canAskNow = found.mayRun || pid !== undefined || hasId;
  if (identity.id !== undefined) publish();
  if (canAskNow) void askUntilTold();

  return {
    identity: () => place.complete(identity),
    firstExec(waiting) {
      pid ??= waiting;
      retryMs = retryFirstMs;
      if (isComplete(identity)) publish();
      else void askUntilTold();
    },
    rebind: publish,
    forget() {
      isGone = true;
      clearTimeout(timer);
    },
  };
}
