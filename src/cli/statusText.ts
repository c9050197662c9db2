/** The status of a gate for people, and in the words of policies. */

import { speech } from '../native/greeting.ts';
import type { ContainerStatus, KeeperStatus, LedgerLine, Outcomes, Probe } from '../native/keeperStatus.ts';
import { type RuleOutcome, readPublication } from '../node/publication.ts';

/** A container with the names that its agent gave. */
export type NamedContainer = Omit<ContainerStatus, 'context'> & {
  readonly id?: string | undefined;
  readonly image?: string | undefined;
  readonly namespace?: string | undefined;
  readonly pod?: string | undefined;
  /** Its rules are to be enforced, and this kernel lets nobody refuse anything. */
  readonly isUnenforceable?: boolean | undefined;
  readonly policies: readonly { readonly id: string; readonly blocks: readonly RuleOutcome[] }[];
};

export type Status = Omit<KeeperStatus, 'gate'> & {
  readonly gate?: Omit<NonNullable<KeeperStatus['gate']>, 'containers'> & {
    readonly containers: readonly NamedContainer[];
  };
};

export function statusOf({ gate, ...status }: KeeperStatus): Status {
  if (gate === undefined) return status;
  const named = gate.containers.map(nameContainer);
  const containers = gate.unenforceable === undefined ? named : named.map(asUnenforceable);
  return { ...status, gate: { ...gate, containers } };
}

/** Where nothing can be refused: what rules that block come to. */
function asUnenforceable(container: NamedContainer): NamedContainer {
  return {
    ...container,
    enforces: false,
    ...(container.enforces && { isUnenforceable: true }),
    policies: container.policies.map(({ id, blocks }) => ({
      id,
      blocks: blocks.map(({ selector, operation, backend }) => ({
        ...{ selector, operation, backend },
        outcome: 'detected' as const,
      })),
    })),
  };
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
  const { mode, holdMs, onUnknown, deadlineMs, onDeadline, onAgentLoss, silenceMs } = settings;
  const silence = silenceMs === undefined ? '' : `, or none that answered for ${silenceMs} ms`;
  lines.push(
    `gate     ${mode}; ${groups} groups for ${roots} root filesystems, ${gate.readers} readers, ${gate.keptReaders} kept by tasks`,
    ...(gate.unenforceable === undefined
      ? []
      : [`enforces NOTHING, what happens is only reported: ${gate.unenforceable}`]),
    `decides  unknown: ${onUnknown} after ${holdMs} ms; deadline: ${onDeadline} after ${deadlineMs} ms; no agent${silence}: ${onAgentLoss}`,
    `verdicts ${verdicts}, of which ${denied} denied, ${unknown} for unknown containers, ${late} by the deadline; ${held} wait for policies`,
    `outcomes ${outcomesText(gate.outcomes) || 'nothing has been told yet'}`,
    `opt-ins  ${optInsText(settings)}`,
    `latency  ${latencyText(gate.latencies)}`,
    `events   ${gate.eventsWaiting + unconfirmed} wait to be written, ${eventsDropped} dropped`,
    `failures ${
      Object.entries(gate.failures)
        .map(([name, count]) => `${name} ${count}`)
        .join(', ') || 'none'
    }`,
    '',
    ...gate.containers.flatMap((container) => containerLines(container, gate.unenforceable === undefined)),
  );
  return `${lines.join('\n').trimEnd()}\n`;
}

function agentText({ hasAgent, silentMs }: Status): string {
  if (hasAgent) return 'an agent is there';
  if (silentMs === undefined) return 'NO AGENT is there';
  return `THE AGENT has been SILENT for ${Math.round(silentMs / 1000)} s`;
}

function containerLines(container: NamedContainer, canRefuse: boolean): string[] {
  const { id, key, mountPoint, image, namespace, pod, watch, held, policies, memfdNoexec, ledger } =
    container;
  const where = pod === undefined ? '' : `, pod ${namespace}/${pod}`;
  const waits = held > 0 ? `, ${held} wait` : '';
  const memfd = { notAsked: '', set: ', memfd programs forbidden' } as Record<string, string>;
  const withoutFile = memfd[memfdNoexec] ?? `, memfd programs POSSIBLE (${memfdNoexec})`;
  return [
    `${id?.slice(0, 12) ?? `key ${key}`}  ${image ?? mountPoint}${where}: ${boundText(container)}, watched: ${watch}${waits}${withoutFile}`,
    ...policies.flatMap((policy) => [
      `  policy ${policy.id}${policy.blocks.length === 0 ? ': nothing is blocked' : ''}`,
      ...policy.blocks.map((rule) => blockText(rule, canRefuse)),
      ...ledger.filter((line) => line.policy === policy.id).map(ledgerText),
    ]),
    ...formerLines(container),
  ];
}

function boundText({ isPublished, policies, enforces, isUnenforceable }: NamedContainer): string {
  if (!isPublished) return 'not bound';
  if (policies.length === 0) return 'no policy';
  if (isUnenforceable) return 'NOT ENFORCEABLE, only reported';
  return enforces ? 'enforced' : 'observed';
}

function blockText(
  { selector, operation, outcome, backend, otherWays }: RuleOutcome,
  canRefuse: boolean,
): string {
  const what = `    block ${selector}: ${operation} is`;
  if (!canRefuse) return `${what} not enforceable, only ${outcome}`;
  const others = otherWays === undefined ? '' : `; without an open ${otherWays}`;
  return `${what} ${outcome}${others}${backend === undefined ? '' : ` (${backend})`}`;
}

function ledgerText(line: LedgerLine): string {
  return `    so far ${line.section} ${line.selector}: ${outcomesText(line)}`;
}

/** What policies have done that are not bound any more. */
function formerLines({ policies, ledger }: NamedContainer): string[] {
  const bound = new Set(policies.map(({ id }) => id));
  const former = ledger.filter(({ policy }) => !bound.has(policy));
  return [...new Set(former.map(({ policy }) => policy))].flatMap((policy) => [
    `  policy ${policy}, not bound any more`,
    ...former.filter((line) => line.policy === policy).map(ledgerText),
  ]);
}

function outcomesText({ prevented, contained, reverted, detected }: Outcomes): string {
  return Object.entries({ prevented, contained, reverted, detected })
    .filter(([, count]) => count > 0)
    .map(([outcome, count]) => `${count} ${outcome}`)
    .join(', ');
}

function optInsText({
  blockScripts,
  memfdNoexec,
  processEnds,
}: NonNullable<KeeperStatus['settings']>): string {
  const names = [
    ...(blockScripts ? ['scripts are blocked like programs'] : []),
    ...(memfdNoexec ? ['memfd programs are forbidden where new programs are blocked'] : []),
    ...(processEnds ? ['ends of processes are told'] : []),
  ];
  return names.join('; ') || 'none';
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
  toldEvents: 'execs and writes can be reported when they have happened',
  bpfLsm: 'BPF is listed among the security modules',
  processEvents: 'forks are seen',
  kernelStacks: 'programs without a file are told from their loader',
  blockedCalls: 'how a file is opened can be read',
};

export function probeText({ kernel, features, maxUserGroups, openFiles }: Probe): string {
  const lines = Object.entries(features).map(
    ([name, { isThere, reason }]) =>
      `${isThere ? 'yes' : 'no '}  ${meanings[name] ?? name}${reason === undefined ? '' : ` (${reason})`}`,
  );
  const limits = `limits: ${maxUserGroups || 'no'} groups (fs.fanotify.max_user_groups), ${openFiles} open files`;
  return `Linux ${kernel}\n${lines.join('\n')}\n${limits}\n${enforcementText(features)}\n`;
}

function enforcementText({ openEvents, execEvents, toldEvents }: Probe['features']): string {
  if (openEvents?.isThere && execEvents?.isThere) return 'rules that block are enforceable';
  const what = toldEvents?.isThere ? 'what happens is only reported' : 'nothing is reported either';
  return `rules that block are NOT ENFORCEABLE: ${what}`;
}
