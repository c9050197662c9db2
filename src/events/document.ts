/** From an observation and what each policy said of it to the documents that are written. */

import { randomUUID } from 'node:crypto';
import { basename, dirname, extname } from 'node:path';
import type { PolicyDecision, Section } from '../policy/types.ts';
import type { HostFacts } from './host.ts';
import { messageOf } from './message.ts';
import { type ContainerFacts, eventTypes, type FileFacts, type Observation } from './observation.ts';
import { isoTime, processFields } from './processFields.ts';

export const ecsVersion = '8.17.0';

/** Annotations may be whole files; an Elasticsearch keyword takes 32766 bytes, and a rule needs the beginning. */
const maxPairLength = 1_024;

/** Where `alert`, and the `log` of each section, write. */
export const streams = ['alerts', 'file', 'process'] as const;
export type Stream = (typeof streams)[number];

/** One document: the data stream it belongs to, such as `logs-cloud_defend.alerts-default`, and its content. */
export interface GateDocument {
  readonly dataStream: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What every document of this agent says. */
export interface DocumentContext {
  readonly host: HostFacts;
  readonly agent: { readonly id: string; readonly version: string };
  /** Last part of the data streams' names. */
  readonly namespace: string;
  /** The generation of policies that decided; the mapping holds 16 bits. */
  readonly generation: number;
}

/**
 * One document per action and policy: `log` writes to the stream of its section, `alert` to the alerts, both
 * to both. `block` alone writes nothing; a policy that blocks must alert.
 */
export function documentsOf(
  observation: Observation,
  decisions: readonly PolicyDecision[],
  context: DocumentContext,
): GateDocument[] {
  const common = commonFields(observation, context);
  return decisions.flatMap((decision) =>
    streamsOf(decision, observation.rules ?? observation.section).map((stream) =>
      documentOf(stream, observation, decision, context, common),
    ),
  );
}

function streamsOf({ actions }: PolicyDecision, section: Section): Stream[] {
  return [
    ...(actions.includes('log') ? [section] : []),
    ...(actions.includes('alert') ? (['alerts'] as const) : []),
  ];
}

function documentOf(
  stream: Stream,
  observation: Observation,
  decision: PolicyDecision,
  context: DocumentContext,
  common: Record<string, unknown>,
): GateDocument {
  const { section, action, outcome } = observation;
  const dataset = `cloud_defend.${stream}`;
  const wantedBlock = decision.actions.includes('block');
  // Another policy's block prevents for all of them: the operation did not happen.
  const denied = outcome === 'prevented' ? ['denied'] : [];
  return {
    dataStream: `logs-${dataset}-${context.namespace}`,
    body: {
      '@timestamp': isoTime(observation.timeUs),
      message: messageOf(observation, wantedBlock),
      ...common,
      event: {
        id: randomUUID(),
        kind: stream === 'alerts' ? 'alert' : 'event',
        category: [section],
        action,
        type: [eventTypes[action], ...denied],
        module: 'cloud_defend',
        dataset,
        created: new Date().toISOString(),
        sequence: observation.sequence,
      },
      data_stream: { type: 'logs', dataset, namespace: context.namespace },
      cloud_defend: {
        matched_selectors: decision.matchedSelectors,
        package_policy_id: decision.policyId,
        package_policy_revision: ((context.generation - 1) % 32_767) + 1,
        hook_point: observation.hookPoint,
      },
      d4c_gate: {
        outcome,
        mode: observation.mode,
        actions: decision.actions,
        ...(observation.reason !== undefined && { reason: observation.reason }),
      },
    },
  };
}

function commonFields(observation: Observation, context: DocumentContext): Record<string, unknown> {
  const { process, parent, groupLeader, sessionLeader, entryLeader, container, file } = observation;
  const { host, agent } = context;
  const related = (facts: typeof process | undefined) => facts && processFields(facts, host, process);
  return {
    ecs: { version: ecsVersion },
    agent: { id: agent.id, type: 'cloud-defend', version: agent.version },
    host: hostFields(host),
    container: containerFields(container),
    orchestrator: orchestratorFields(container),
    user: process.userId === undefined ? undefined : { id: String(process.userId) },
    group: process.groupId === undefined ? undefined : { id: String(process.groupId) },
    process: {
      ...processFields(process, host),
      ...(observation.action === 'end' && {
        end: isoTime(observation.timeUs),
        exit_code: observation.exitCode,
      }),
      parent: related(parent),
      group_leader: related(groupLeader),
      session_leader: related(sessionLeader),
      entry_leader: entryLeader && {
        ...related(entryLeader),
        entry_meta: { type: entryLeader.entryType },
      },
    },
    file: file && fileFields(file),
  };
}

function hostFields(host: HostFacts): Record<string, unknown> {
  return {
    name: host.name,
    hostname: host.name,
    id: host.id,
    ip: host.ips,
    mac: host.macs,
    architecture: host.architecture,
    boot: host.bootId === undefined ? undefined : { id: host.bootId },
    pid_ns_ino: host.pidNamespaceInode,
    os: { type: 'linux', ...host.os },
  };
}

function containerFields({ id, name, image, privileged }: ContainerFacts): Record<string, unknown> {
  return {
    id,
    name,
    image: image && {
      name: image.fullName,
      tag: image.tag === null ? undefined : [image.tag],
      hash: image.digests.length === 0 ? undefined : { all: image.digests },
    },
    security_context: privileged === undefined ? undefined : { privileged },
  };
}

/** Only for containers of pods. */
function orchestratorFields({ pod, clusterId, clusterName }: ContainerFacts): object | undefined {
  if (pod === undefined) return undefined;
  const pairs = (map: ReadonlyMap<string, string>) =>
    [...map].map(([key, value]) => `${key}:${value}`.slice(0, maxPairLength));
  const hasCluster = clusterId !== undefined || clusterName !== undefined;
  return {
    type: 'kubernetes',
    cluster: hasCluster ? { id: clusterId, name: clusterName } : undefined,
    namespace: pod.namespace,
    resource: {
      name: pod.name,
      type: 'pod',
      ip: pod.ips.length === 0 ? undefined : pod.ips,
      label: pairs(pod.labels),
      annotation: pairs(pod.annotations),
      parent: pod.ownerKind === undefined ? undefined : { type: pod.ownerKind },
    },
  };
}

function fileFields(file: FileFacts): Record<string, unknown> {
  const extension = extname(file.path).slice(1);
  return {
    path: file.path,
    name: basename(file.path),
    directory: dirname(file.path),
    extension: extension === '' ? undefined : extension,
    mode: file.mode === undefined ? undefined : (file.mode & 0o7777).toString(8).padStart(4, '0'),
    uid: file.userId === undefined ? undefined : String(file.userId),
    gid: file.groupId === undefined ? undefined : String(file.groupId),
    inode: file.inode === undefined ? undefined : String(file.inode),
    Ext: file.oldPath === undefined ? undefined : { original: { path: file.oldPath } },
  };
}
