/**
 * Parts of documents as JSON: the members of an object, without its braces.
 *
 * Most of a document is what the one before it said: the machine, the container, parents and leaders. Their text is kept for as
 * long as the facts of which it was made, so that the same facts, when they come as the same object, are written once.
 */

import { basename, dirname, extname } from 'node:path';
import { beginningsOf } from '../nodePod.ts';
import type { HostFacts } from './host.ts';
import type { ContainerFacts, FileFacts, Observation, ProcessFacts } from './observation.ts';
import { isoTime, isSameProcess, processFields } from './processFields.ts';

export const ecsVersion = '8.17.0';

/** Empty when there are none. */
export function membersOf(fields: object): string {
  return JSON.stringify(fields).slice(1, -1);
}

/** An object of these members; those that are empty are none. */
export function objectOf(members: readonly string[]): string {
  return `{${members.filter((each) => each !== '').join(',')}}`;
}

interface TextsOfHost {
  readonly agent: object;
  readonly common: string;
  readonly processes: WeakMap<ProcessFacts, string>;
}
const textsOfHosts = new WeakMap<HostFacts, TextsOfHost>();

function textsOf(host: HostFacts, agent: { readonly id: string; readonly version: string }): TextsOfHost {
  const before = textsOfHosts.get(host);
  if (before?.agent === agent) return before;
  const common = membersOf({
    ecs: { version: ecsVersion },
    agent: { id: agent.id, type: 'cloud-defend', version: agent.version },
    host: hostFields(host),
  });
  const texts = { agent, common, processes: new WeakMap() };
  textsOfHosts.set(host, texts);
  return texts;
}

/** What all documents about an observation have in common, besides its time and message. */
export function commonMembers(
  observation: Observation,
  host: HostFacts,
  agent: { readonly id: string; readonly version: string },
): string[] {
  const { process, container, file } = observation;
  const texts = textsOf(host, agent);
  return [
    texts.common,
    containerMembers(container),
    membersOf({
      user: process.userId === undefined ? undefined : { id: String(process.userId) },
      group: process.groupId === undefined ? undefined : { id: String(process.groupId) },
    }),
    `"process":${processText(observation, host, texts.processes)}`,
    file === undefined ? '' : membersOf({ file: fileFields(file) }),
  ];
}

function processText(
  { action, timeUs, exitCode, process, parent, groupLeader, sessionLeader, entryLeader }: Observation,
  host: HostFacts,
  texts: WeakMap<ProcessFacts, string>,
): string {
  const fields = processFields(process, host);
  const own = membersOf(action === 'end' ? { ...fields, end: isoTime(timeUs), exit_code: exitCode } : fields);
  const relative = (name: string, facts: ProcessFacts | undefined, more = ''): string => {
    if (facts === undefined) return '';
    let text = texts.get(facts);
    if (text === undefined) {
      text = membersOf(processFields(facts, host));
      texts.set(facts, text);
    }
    return `"${name}":{${text},"same_as_process":${isSameProcess(facts, process)}${more}}`;
  };
  return objectOf([
    own,
    relative('parent', parent),
    relative('group_leader', groupLeader),
    relative('session_leader', sessionLeader),
    entryLeader === undefined
      ? ''
      : relative(
          'entry_leader',
          entryLeader.process,
          `,${membersOf({ entry_meta: { type: entryLeader.type } })}`,
        ),
  ]);
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

const textsOfContainers = new WeakMap<ContainerFacts, string>();

function containerMembers(container: ContainerFacts): string {
  let text = textsOfContainers.get(container);
  if (text === undefined) {
    text = membersOf({ container: containerFields(container), orchestrator: orchestratorFields(container) });
    textsOfContainers.set(container, text);
  }
  return text;
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
    [...beginningsOf(map)].map(([key, value]) => `${key}:${value}`);
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
