/** Asks containerd what a container is: the kubelet's, ctr's, nerdctl's and Docker's alike, in every namespace. */

import { stat } from 'node:fs/promises';
import type { ContainerdConnection } from './containerdApi.ts';
import { type OciSpec, parseOciSpec } from './ociSpec.ts';
import { parseJson, stringsAt, textAt, valueAt } from './smallFile.ts';

/** A container as containerd knows it. */
export interface ContainerdRecord {
  readonly id: string;
  /** containerd's namespace: `k8s.io` for the kubelet, `moby` for Docker, `default` for ctr. */
  readonly namespace: string;
  /** The image's reference as given to containerd; `undefined` when it was given none, as Docker does. */
  readonly image: string | undefined;
  /** Digests of the image's manifest or index, for example `sha256:...`. */
  readonly imageDigests: readonly string[];
  readonly labels: ReadonlyMap<string, string>;
  /** For example `io.containerd.runc.v2`. */
  readonly runtime: string | undefined;
  readonly spec: OciSpec;
  /** Of a pod's sandbox: what the kubelet said of the pod. */
  readonly sandbox: SandboxRecord | undefined;
}

export interface SandboxRecord {
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  readonly ips: readonly string[];
}

export interface Containerd {
  /** The first of `ids` that a containerd knows; `undefined` when none does. Rejects when none could be asked. */
  find(ids: readonly string[], namespace: string | undefined): Promise<ContainerdRecord | undefined>;
  close(): void;
}

/** Sockets that do not exist are passed over, and used once they do. `deadlineMs` bounds each single call. */
export function openContainerd(sockets: readonly string[], deadlineMs: number): Containerd {
  const connections = new Map<string, ContainerdConnection>();
  let isClosed = false;

  const connectionsNow = async (): Promise<ContainerdConnection[]> => {
    const now: ContainerdConnection[] = [];
    for (const socket of sockets) {
      const isSocket = await stat(socket).then(
        (stats) => stats.isSocket(),
        () => false,
      );
      if (!isSocket) continue;
      // Loaded where there is a containerd alone: gRPC takes 15 MiB of an agent's memory.
      const { connectContainerd } = await import('./containerdApi.ts');
      if (isClosed) throw new Error('the agent ends');
      const connection = connections.get(socket) ?? connectContainerd(socket);
      connections.set(socket, connection);
      now.push(connection);
    }
    return now;
  };
  // Before a container waits for it.
  void connectionsNow().catch(() => undefined);

  return {
    async find(ids, namespace) {
      const asked = (await connectionsNow()).map((connection) =>
        findIn(connection, ids, namespace, deadlineMs),
      );
      const answers = await Promise.allSettled(asked);
      for (const answer of answers) {
        if (answer.status === 'fulfilled' && answer.value !== undefined) return answer.value;
      }
      const failed = answers.find((answer) => answer.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return undefined;
    },
    close() {
      isClosed = true;
      for (const connection of connections.values()) connection.close();
      connections.clear();
    },
  };
}

async function findIn(
  connection: ContainerdConnection,
  ids: readonly string[],
  namespace: string | undefined,
  deadlineMs: number,
): Promise<ContainerdRecord | undefined> {
  const namespaces = namespace === undefined ? await listNamespaces(connection, deadlineMs) : [namespace];
  const questions = ids.flatMap((id) =>
    namespaces.map(async (each) => {
      const answer = await connection.call('getContainer', { id }, each, deadlineMs);
      const container = valueAt(answer, 'container');
      return container === undefined || container === null
        ? undefined
        : await recordOf(connection, container, each, deadlineMs);
    }),
  );
  return (await Promise.all(questions)).find((record) => record !== undefined);
}

async function listNamespaces(connection: ContainerdConnection, deadlineMs: number): Promise<string[]> {
  const list = valueAt(await connection.call('listNamespaces', {}, undefined, deadlineMs), 'namespaces');
  return Array.isArray(list)
    ? list.map((each) => textAt(each, 'name')).filter((name) => name !== undefined)
    : [];
}

async function recordOf(
  connection: ContainerdConnection,
  container: unknown,
  namespace: string,
  deadlineMs: number,
): Promise<ContainerdRecord> {
  const image = await imageOf(connection, textAt(container, 'image'), namespace, deadlineMs);
  return {
    id: textAt(container, 'id') ?? '',
    namespace,
    image: image.name,
    imageDigests: image.digests,
    labels: stringsAt(container, 'labels') ?? new Map(),
    runtime: textAt(container, 'runtime', 'name'),
    spec: parseOciSpec(jsonOf(valueAt(container, 'spec', 'value'))) ?? {
      annotations: new Map(),
      privileged: false,
      rootPath: undefined,
    },
    sandbox: sandboxOf(
      jsonOf(valueAt(container, 'extensions', 'io.cri-containerd.sandbox.metadata', 'value')),
    ),
  };
}

/** An image that is only known by its ID has its name under the same digest. */
async function imageOf(
  connection: ContainerdConnection,
  name: string | undefined,
  namespace: string,
  deadlineMs: number,
): Promise<{ name: string | undefined; digests: string[] }> {
  if (name === undefined) return { name, digests: [] };
  const answer = await connection.call('getImage', { name }, namespace, deadlineMs);
  const digest = textAt(answer, 'image', 'target', 'digest');
  if (digest === undefined) return { name: isNamed(name) ? name : undefined, digests: [] };
  if (isNamed(name)) return { name, digests: [digest] };
  const filters = [`target.digest==${digest}`];
  const list = valueAt(await connection.call('listImages', { filters }, namespace, deadlineMs), 'images');
  const names = (Array.isArray(list) ? list : [])
    .map((each) => textAt(each, 'name'))
    .filter((each) => each !== undefined)
    .filter(isNamed);
  return { name: names.find((each) => !each.includes('@')) ?? names[0], digests: [digest] };
}

const isNamed = (name: string): boolean => !name.startsWith('sha256:');

/** What the CRI plugin keeps of a sandbox; the plain labels hold those of the pause image too. */
function sandboxOf(json: unknown): SandboxRecord | undefined {
  const config = valueAt(json, 'Metadata', 'Config');
  if (config === undefined) return undefined;
  const others = valueAt(json, 'Metadata', 'AdditionalIPs');
  const ips = [valueAt(json, 'Metadata', 'IP'), ...(Array.isArray(others) ? others : [])];
  return {
    labels: stringsAt(config, 'labels') ?? new Map(),
    annotations: stringsAt(config, 'annotations') ?? new Map(),
    ips: ips.filter((ip): ip is string => typeof ip === 'string' && ip !== ''),
  };
}

function jsonOf(value: unknown): unknown {
  return value instanceof Uint8Array ? parseJson(Buffer.from(value).toString('utf8')) : undefined;
}
