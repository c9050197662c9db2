/**
 * `kubectl exec` and `kubectl attach`: refuses an interactive session that a blocking process response with
 * `sessionLeaderInteractive: true` covers, before it begins.
 *
 * The request says little: the pod is named and not shown. Policies are asked with nothing known of it first, and only
 * where the answer depends on the pod is it read. Without a cluster to read it from, the session is left to the node; a
 * cluster that cannot be asked makes the request one that cannot be judged (docs/adr/0002).
 */

import { GateError } from '../errors.ts';
import { parseImage } from '../policy/image.ts';
import { blockOfSession, type SessionAnswer } from '../policy/session.ts';
import type { Workload } from '../policy/types.ts';
import type { Cluster } from './annotations.ts';
import type { Generations } from './generations.ts';
import type { Live } from './live.ts';
import { type Container, type Pod, readPod } from './pod.ts';
import { isJsonObject, type JsonObject, type Review, type ReviewAnswer } from './review.ts';
import { shortened } from './warnings.ts';

/** What a session needs besides the request. */
export interface SessionPlace {
  readonly generations: Generations;
  readonly cluster: Cluster;
  readonly live?: Live;
}

/** The container as far as it is known; `container` is '' where the request leaves the choice to the pod. */
interface Target {
  readonly container: string;
  readonly workload: Workload;
}

const defaultContainerKey = 'kubectl.kubernetes.io/default-container';

/** Whether the request begins a session, or joins one. */
export function isSession({ operation, resource }: Review): boolean {
  return operation === 'CONNECT' && (resource === 'pods/exec' || resource === 'pods/attach');
}

/** @throws REVIEW_OBJECT @throws POD_UNREADABLE */
export async function judgeSession(review: Review, place: SessionPlace): Promise<ReviewAnswer> {
  const { object: options } = review;
  if (!isJsonObject(options)) throw new GateError('REVIEW_OBJECT', 'the options of the session are missing');
  const isAttach = review.resource === 'pods/attach';
  // Whoever attaches joins the container's own session, which has a terminal if the container does.
  const mayBeInteractive = options.tty === true || (isAttach && options.stdin === true);
  if (!mayBeInteractive) return { allowed: true, audit: { session: 'not interactive' } };

  const program = isAttach ? undefined : programOf(options);
  const ask = (workload: Workload): SessionAnswer =>
    blockOfSession(place.generations.current().policies, workload, program);
  const container = typeof options.container === 'string' ? options.container : '';
  const unread = { container, workload: unreadWorkload(review, place.cluster) };
  const first = ask(unread.workload);
  if (first.holds === 'no') return { allowed: true, audit: { session: 'no policy refuses it' } };
  if (first.holds === 'yes' && options.tty === true) return refuseIfStill(review, place, unread, ask);
  if (place.live === undefined) return leaveUnread(first);

  const pod = await readLive(review, place.live);
  const found = pod && containerOf(pod, container);
  // The API server says itself that there is no such pod or container.
  if (pod === undefined || found === undefined)
    return { allowed: true, audit: { session: 'no such container' } };
  if (options.tty !== true && !found.tty) return { allowed: true, audit: { session: 'not interactive' } };
  const image = found.image === undefined ? undefined : parseImage(found.image);
  const workload = { ...unread.workload, image, podLabels: pod.labels };
  const target = { container: found.name, workload };
  switch (ask(workload).holds) {
    case 'yes':
      return refuseIfStill(review, place, target, ask);
    case 'no':
      return { allowed: true, audit: { session: 'no policy refuses it' } };
    case 'unknown':
      return { allowed: true, audit: { session: 'left to the node' } };
  }
}

/** Another replica may have taken a change of the policies that was not seen here yet. */
async function refuseIfStill(
  { name, resource }: Review,
  { generations }: SessionPlace,
  { container, workload }: Target,
  ask: (workload: Workload) => SessionAnswer,
): Promise<ReviewAnswer> {
  await generations.refresh();
  const { holds, block } = ask(workload);
  if (holds !== 'yes' || block === undefined)
    return { allowed: true, audit: { session: 'left to the node' } };
  const { policyId, selector, response } = block;
  const where = container === '' ? `pod \`${name}\`` : `container \`${container}\` of pod \`${name}\``;
  return {
    allowed: false,
    message:
      `policy \`${policyId}\` refuses interactive sessions in ${where}: selector \`${selector}\` of ` +
      `\`process.responses[${response}]\`, which has \`block\`, matches them by \`sessionLeaderInteractive: true\`; ` +
      (resource === 'pods/attach'
        ? 'ask whoever is responsible for the policy'
        : 'run the command without a terminal (leave out `-t`), or ask whoever is responsible for the policy'),
    audit: { session: 'refused', policy: policyId, selector },
  };
}

function leaveUnread({ block }: SessionAnswer): ReviewAnswer {
  const policy = shortened(block?.policyId ?? '', 63);
  return {
    allowed: true,
    warnings: [
      `d4c-gate cannot read pods here, so whether policy \`${policy}\` refuses this session is left to the node`,
    ],
    audit: { session: 'left to the node: the pod was not read' },
  };
}

async function readLive({ namespace, name }: Review, live: Live): Promise<Pod | undefined> {
  let object: unknown;
  try {
    object = await live.pod(namespace, name);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError(
      'POD_UNREADABLE',
      `whether this session is refused depends on pod \`${name}\`, which cannot be read: ${shortened(reason, 300)}`,
      error,
    );
  }
  return object === undefined ? undefined : readPod(object);
}

/** The container that the session is for: the one that is named, else the pod's default, else its first ordinary one. */
function containerOf({ containers, annotations, mainContainer }: Pod, named: string): Container | undefined {
  const preferred = annotations?.[defaultContainerKey];
  const name = named !== '' ? named : typeof preferred === 'string' ? preferred : mainContainer;
  return containers.find((container) => container.name === name);
}

function programOf({ command }: JsonObject): string | undefined {
  const first: unknown = Array.isArray(command) ? command[0] : undefined;
  return typeof first === 'string' ? first : undefined;
}

function unreadWorkload({ name, namespace }: Review, { clusterId, clusterName }: Cluster): Workload {
  const podName = { name };
  return { image: undefined, podLabels: undefined, podName, namespace, clusterId, clusterName };
}
