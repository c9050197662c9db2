/** From the gate's terms to those of documents. */

import type {
  ContainerFacts,
  Mode,
  Observation,
  ProcessFacts as ProcessFields,
} from '../events/observation.ts';
import type { KernelEvent, ProcessFacts, TableDecision } from '../native/binding.ts';
import type { BoundPolicy, PolicyDecision } from '../policy/types.ts';
import type { ContainerIdentity } from './identity.ts';

/** What happened, as documents tell it. `bootUs` is when the machine was started, in microseconds since 1970. */
export function observationOf(
  event: KernelEvent,
  identity: ContainerIdentity,
  mode: Mode,
  bootUs: number,
): Observation {
  const process = processOf(event.process, bootUs);
  const parent = event.parent && processOf(event.parent, bootUs);
  const relative = (pid: number): ProcessFields | undefined => {
    if (pid === 0) return undefined;
    return pid === process.pid ? process : pid === parent?.pid ? parent : { pid };
  };
  const isExec = event.kind === 'exec';
  return {
    sequence: event.sequence,
    timeUs: event.timeUs,
    section: isExec ? 'process' : 'file',
    action: isExec ? 'exec' : isCreation(event) ? 'creation' : 'open',
    hookPoint: isExec ? 'fanotify__open_exec_perm' : 'fanotify__open_perm',
    outcome: event.outcome,
    mode,
    process,
    parent,
    groupLeader: relative(event.process.groupPid),
    sessionLeader: relative(event.process.sessionPid),
    file: isExec
      ? undefined
      : {
          path: event.path,
          mode: event.file.mode,
          userId: event.file.uid,
          groupId: event.file.gid,
          inode: event.file.inode,
        },
    container: containerFactsOf(identity),
  };
}

/** What each policy said, by names instead of indexes. `policies` is what the table was made from. */
export function decisionsOf(event: KernelEvent, policies: readonly BoundPolicy[]): PolicyDecision[] {
  return event.policies.flatMap((decision) => {
    const policy = policies[decision.policy];
    if (policy === undefined) return [];
    const { selectors } = event.kind === 'exec' ? policy.process : policy.file;
    return [
      { policyId: policy.id, actions: decision.actions, matchedSelectors: namesOf(decision, selectors) },
    ];
  });
}

function namesOf(
  { selectors: indexes }: TableDecision,
  selectors: readonly { readonly selector: { readonly name: string } }[],
): string[] {
  return indexes.map((index) => selectors[index]?.selector.name).filter((name) => name !== undefined);
}

function isCreation({ operations }: KernelEvent): boolean {
  return operations.includes('createFile') || operations.includes('createExecutable');
}

function processOf(facts: ProcessFacts, bootUs: number): ProcessFields {
  return {
    pid: facts.pid,
    executable: facts.executable === '' ? undefined : facts.executable,
    args: facts.args,
    // How many there were is not known once they were cut.
    argsCount: facts.args.length,
    workingDirectory: facts.workingDirectory === '' ? undefined : facts.workingDirectory,
    startUs: bootUs + facts.startTicks * 10_000,
    interactive: facts.interactive,
    userId: facts.euid,
    groupId: facts.egid,
  };
}

/** What documents say of a container. What is unknown, and what is known to be absent, is left out alike. */
export function containerFactsOf(identity: ContainerIdentity): ContainerFacts {
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
