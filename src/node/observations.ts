/** From the gate's terms to those of documents. */

import type {
  ContainerFacts,
  EventAction,
  FileFacts,
  Mode,
  Observation,
  ProcessFacts as ProcessFields,
} from '../events/observation.ts';
import type { EventKind, KernelEvent, ProcessFacts } from '../native/gate.ts';
import type { PolicyDecision, Section } from '../policy/types.ts';
import type { ContainerIdentity } from './identity.ts';
import type { PolicyNames } from './publication.ts';

/** Processes that were parent or leader lately, by number: what was told of each, and what was made of that. */
export type KnownProcesses = Map<number, { readonly facts: ProcessFacts; readonly fields: ProcessFields }>;

const maxKnown = 1_024;

/**
 * What happened, as documents tell it. `bootUs` is when the machine was started, in microseconds since 1970. A parent or
 * leader that is in `known`, and unchanged, is the same object as the last time.
 */
export function observationOf(
  event: KernelEvent,
  identity: ContainerIdentity,
  mode: Mode,
  bootUs: number,
  known: KnownProcesses = new Map(),
): Observation {
  const process = processOf(event.process, bootUs);
  const knownOr = (facts: ProcessFacts): ProcessFields => {
    const before = known.get(facts.pid);
    if (before !== undefined && isUnchanged(before.facts, facts)) return before.fields;
    const fields = processOf(facts, bootUs);
    if (known.size >= maxKnown) known.clear();
    known.set(facts.pid, { facts, fields });
    return fields;
  };
  const parent = event.parent && knownOr(event.parent);
  const relative = (
    pid: number,
    facts: ProcessFacts | Pick<ProcessFacts, 'pid'> | undefined,
  ): ProcessFields | undefined => {
    if (pid === 0) return undefined;
    if (pid === process.pid) return process;
    if (pid === parent?.pid) return parent;
    return facts !== undefined && 'startTicks' in facts ? knownOr(facts) : { pid };
  };
  const { groupLeader, sessionLeader, entryLeader, entryType } = event;
  const entry = entryLeader && relative(entryLeader.pid, entryLeader);
  const isOfProcess = ['exec', 'load', 'fork', 'end'].includes(event.kind);
  return {
    sequence: event.sequence,
    timeUs: event.timeUs,
    section: isOfProcess ? 'process' : 'file',
    rules: rulesOf(event),
    action: actionOf(event),
    hookPoint: (event.isHeard ? heardAt[event.kind] : undefined) ?? hookPoints[event.kind],
    outcome: event.outcome,
    isUnenforceable: event.isHeard,
    reason: event.reason,
    mode,
    process,
    parent,
    groupLeader: relative(event.process.groupPid, groupLeader),
    sessionLeader: relative(event.process.sessionPid, sessionLeader),
    entryLeader: entry && entryType !== undefined ? { process: entry, type: entryType } : undefined,
    exitCode: event.exitCode,
    file: isOfProcess && event.kind !== 'load' ? undefined : fileOf(event),
    container: containerFactsOf(identity),
  };
}

/** What each policy said, by names instead of indexes. `policies` is what the table was made from. */
export function decisionsOf(event: KernelEvent, policies: readonly PolicyNames[]): PolicyDecision[] {
  const section = rulesOf(event);
  return event.policies.flatMap((decision) => {
    const policy = policies[decision.policy];
    if (policy === undefined) return [];
    const names = policy[section];
    const matchedSelectors = decision.selectors.flatMap((index) => names[index] ?? []);
    return [{ policyId: policy.id, actions: decision.actions, matchedSelectors }];
  });
}

/** The section whose rules decided. Rules about files bar what they would not have let come to be from being executed. */
function rulesOf({ kind, reason }: KernelEvent): Section {
  if (kind === 'fork' || kind === 'end') return 'process';
  return kind === 'exec' && reason === undefined ? 'process' : 'file';
}

const hookPoints: Record<EventKind, string> = {
  exec: 'fanotify__open_exec_perm',
  load: 'fanotify__open_perm',
  open: 'fanotify__open_perm',
  creation: 'fanotify__create',
  link: 'fanotify__create',
  rename: 'fanotify__rename',
  attributes: 'fanotify__attrib',
  deletion: 'fanotify__delete',
  modification: 'fanotify__modify',
  fork: 'proc_connector__fork',
  end: 'proc_connector__exit',
};

/** Where nobody was asked. */
const heardAt: Partial<Record<EventKind, string>> = {
  exec: 'fanotify__open_exec',
  modification: 'fanotify__close_write',
};

function actionOf({ kind, operations }: KernelEvent): EventAction {
  switch (kind) {
    case 'open':
      return operations.includes('createFile') || operations.includes('createExecutable')
        ? 'creation'
        : 'open';
    case 'load':
      return 'exec';
    case 'attributes':
      // A program came to exist.
      return 'creation';
    default:
      return kind;
  }
}

/** What is known of the file. One that was gone before it could be looked at has a path alone. */
function fileOf({ path, oldPath, file }: KernelEvent): FileFacts {
  if (file.inode === 0) return { path, oldPath };
  const { mode, uid, gid, inode } = file;
  return { path, oldPath, mode, userId: uid, groupId: gid, inode };
}

function processOf(facts: ProcessFacts, bootUs: number): ProcessFields {
  // It had ended before anything of it could be read.
  if (facts.startTicks === 0 && facts.executable === '') return { pid: facts.pid };
  return {
    pid: facts.pid,
    executable: facts.executable === '' ? undefined : facts.executable,
    // KERNEL: 5.18: a program has one at the least, so that none means that they were not read.
    args: facts.args.length === 0 ? undefined : facts.args,
    // How many there were is not known once they were cut.
    argsCount: facts.args.length === 0 ? undefined : facts.args.length,
    workingDirectory: facts.workingDirectory === '' ? undefined : facts.workingDirectory,
    startUs: facts.startTicks === 0 ? undefined : bootUs + facts.startTicks * 10_000,
    interactive: facts.interactive,
    userId: facts.euid,
    groupId: facts.egid,
  };
}

/** Whether both say the same of what `processOf` uses. */
function isUnchanged(one: ProcessFacts, other: ProcessFacts): boolean {
  return (
    one.startTicks === other.startTicks &&
    one.executable === other.executable &&
    one.workingDirectory === other.workingDirectory &&
    one.interactive === other.interactive &&
    one.euid === other.euid &&
    one.egid === other.egid &&
    one.args.length === other.args.length &&
    one.args.every((argument, index) => argument === other.args[index])
  );
}

const factsOfIdentities = new WeakMap<ContainerIdentity, ContainerFacts>();

/**
 * What documents say of a container. What is unknown, and what is known to be absent, is left out alike. The same object for
 * the same identity.
 */
export function containerFactsOf(identity: ContainerIdentity): ContainerFacts {
  let facts = factsOfIdentities.get(identity);
  if (facts === undefined) {
    facts = factsOf(identity);
    factsOfIdentities.set(identity, facts);
  }
  return facts;
}

function factsOf(identity: ContainerIdentity): ContainerFacts {
  const { workload, pod } = identity;
  const { image } = workload;
  return {
    id: identity.id,
    name: identity.name ?? undefined,
    image: image ? { fullName: image.fullName, tag: image.tag, digests: identity.imageDigests } : undefined,
    privileged: identity.privileged,
    pod: pod
      ? {
          name: pod.name,
          namespace: pod.namespace,
          labels: pod.labels ?? new Map(),
          annotations: pod.annotations ?? new Map(),
          ips: pod.ips,
          ownerKind: pod.ownerKind,
        }
      : undefined,
    clusterId: workload.clusterId ?? undefined,
    clusterName: workload.clusterName ?? undefined,
  };
}
