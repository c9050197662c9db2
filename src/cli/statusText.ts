/** The status of a gate for people, and in the words of policies. */

import { speech } from '../native/greeting.ts';
import type { ContainerStatus, KeeperStatus, Probe } from '../native/keeperStatus.ts';
import { type RuleOutcome, readPublication } from '../node/publication.ts';

/** A container with the names that its agent gave. */
export type NamedContainer = Omit<ContainerStatus, 'context'> & {
  readonly id?: string | undefined;
  readonly image?: string | undefined;
  readonly namespace?: string | undefined;
  readonly pod?: string | undefined;
  readonly policies: readonly { readonly id: string; readonly blocks: readonly RuleOutcome[] }[];
};

export type Status = Omit<KeeperStatus, 'gate'> & {
  readonly gate?: Omit<NonNullable<KeeperStatus['gate']>, 'containers'> & {
    readonly containers: readonly NamedContainer[];
  };
};

export function statusOf({ gate, ...status }: KeeperStatus): Status {
  if (gate === undefined) return status;
  return { ...status, gate: { ...gate, containers: gate.containers.map(nameContainer) } };
}

function nameContainer({ context, ...container }: ContainerStatus): NamedContainer {
  const publication = readPublication(context ?? '');
  if (publication === undefined) return { ...container, policies: [] };
  const { id, workload, pod } = publication.identity;
  return {
    ...container,
    id,
    image: workload.image?.fullName,
    namespace: pod?.namespace,
    pod: pod?.name,
    policies: publication.policies.map(({ id: policy, blocks }) => ({ id: policy, blocks })),
  };
}

export function statusText(status: Status): string {
  const { pid, unconfirmed, settings, stats, gate } = status;
  const lines = [`keeper   process ${pid}, ${agentText(status)}`];
  if (status.speech !== speech) {
    lines.push(
      `version  THE KEEPER speaks ${status.speech ?? 'an older version'}, agents of this version ${speech}: replace the older one`,
    );
  }
  if (settings === undefined || stats === undefined || gate === undefined) {
    return `${[...lines, 'gate     not open: no agent has come yet'].join('\n')}\n`;
  }
  const { verdicts, denied, unknown, late, held, groups, roots, eventsDropped } = stats;
  const { mode, holdMs, onUnknown, deadlineMs, onDeadline, onAgentLoss } = settings;
  lines.push(
    `gate     ${mode}; ${groups} groups for ${roots} root filesystems, ${gate.readers} readers, ${gate.keptReaders} kept by tasks`,
    `decides  unknown: ${onUnknown} after ${holdMs} ms; deadline: ${onDeadline} after ${deadlineMs} ms; no agent: ${onAgentLoss}`,
    `verdicts ${verdicts}, of which ${denied} denied, ${unknown} for unknown containers, ${late} by the deadline; ${held} wait for policies`,
    `latency  ${latencyText(gate.latencies)}`,
    `events   ${gate.eventsWaiting + unconfirmed} wait to be written, ${eventsDropped} dropped`,
    `failures ${
      Object.entries(gate.failures)
        .map(([name, count]) => `${name} ${count}`)
        .join(', ') || 'none'
    }`,
    '',
    ...gate.containers.flatMap(containerLines),
  );
  return `${lines.join('\n').trimEnd()}\n`;
}

function agentText({ hasAgent, silentMs }: Status): string {
  if (hasAgent) return 'an agent is there';
  if (silentMs === undefined) return 'NO AGENT is there';
  return `THE AGENT has been SILENT for ${Math.round(silentMs / 1000)} s`;
}

function containerLines(container: NamedContainer): string[] {
  const { id, key, mountPoint, image, namespace, pod, watch, held, policies, isPublished, enforces } =
    container;
  const where = pod === undefined ? '' : `, pod ${namespace}/${pod}`;
  const bound = isPublished
    ? policies.length === 0
      ? 'no policy'
      : enforces
        ? 'enforced'
        : 'observed'
    : 'not bound';
  const waits = held > 0 ? `, ${held} wait` : '';
  return [
    `${id?.slice(0, 12) ?? `key ${key}`}  ${image ?? mountPoint}${where}: ${bound}, watched: ${watch}${waits}`,
    ...policies.flatMap((policy) => [
      `  policy ${policy.id}${policy.blocks.length === 0 ? ': nothing is blocked' : ''}`,
      ...policy.blocks.map(
        ({ selector, operation, outcome }) => `    block ${selector}: ${operation} is ${outcome}`,
      ),
    ]),
  ];
}

/** The time within which half and 99 of 100 verdicts were given. */
function latencyText(latencies: readonly number[]): string {
  const all = latencies.reduce((sum, count) => sum + count, 0);
  if (all === 0) return 'no verdict yet';
  const within = (part: number): string => {
    let bucket = 0;
    for (let seen = latencies[0] ?? 0; seen < part * all; seen += latencies[bucket] ?? 0) bucket++;
    return `${2 ** bucket} us`;
  };
  return `half below ${within(0.5)}, 99 % below ${within(0.99)}, all below ${within(1)}`;
}

const meanings: Readonly<Record<string, string>> = {
  openEvents: 'opens can be refused',
  execEvents: 'execs can be refused',
  changesWithNames: 'creations, links, renames and deletions are seen',
  pidfd: 'tasks can be held by descriptor',
  pidfdInfo: 'tasks can be told without /proc',
  memfdNoexec: 'programs without a file can be forbidden',
  bpfLsm: 'BPF is listed among the security modules',
  processEvents: 'forks are seen',
  blockedCalls: 'how a file is opened can be read',
};

export function probeText({ kernel, features, maxUserGroups, openFiles }: Probe): string {
  const lines = Object.entries(features).map(
    ([name, { isThere, reason }]) =>
      `${isThere ? 'yes' : 'no '}  ${meanings[name] ?? name}${reason === undefined ? '' : ` (${reason})`}`,
  );
  const limits = `limits: ${maxUserGroups || 'no'} groups (fs.fanotify.max_user_groups), ${openFiles} open files`;
  return `Linux ${kernel}\n${lines.join('\n')}\n${limits}\n`;
}
