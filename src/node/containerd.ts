/** Asks containerd what a container is: the kubelet's, ctr's, nerdctl's and Docker's alike, in every namespace. */

import { stat } from 'node:fs/promises';
import type { ContainerdConnection, StoredContainer } from './containerdApi.ts';
import { type OciSpec, parseOciSpec } from './ociSpec.ts';
import { parseJson, stringsAt, valueAt } from './smallFile.ts';

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
      // Loaded where there is a containerd alone: HTTP/2 takes 8 MiB of an agent's memory.
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
  const namespaces = namespace === undefined ? await connection.namespaces(deadlineMs) : [namespace];
  const questions = ids.flatMap((id) =>
    namespaces.map(async (each) => {
      const container = await connection.container(id, each, deadlineMs);
      return container && (await recordOf(connection, container, each, deadlineMs));
    }),
  );
  return (await Promise.all(questions)).find((record) => record !== undefined);
}

async function recordOf(
  connection: ContainerdConnection,
  container: StoredContainer,
  namespace: string,
  deadlineMs: number,
): Promise<ContainerdRecord> {
  const { id, labels, runtime, spec, extensions } = container;
  const image = await imageOf(connection, container.image, namespace, deadlineMs);
  return {
    id,
    namespace,
    image: image.name,
    imageDigests: image.digests,
    labels,
    runtime,
    spec: parseOciSpec(jsonOf(spec)) ?? {
      annotations: new Map(),
      privileged: false,
      rootPath: undefined,
    },
    sandbox: sandboxOf(jsonOf(extensions.get('io.cri-containerd.sandbox.metadata'))),
  };
}

/** An image that is only known by its ID has its name under the same digest, as a rule; else the ID is what it is called. */
async function imageOf(
  connection: ContainerdConnection,
  name: string | undefined,
  namespace: string,
  deadlineMs: number,
): Promise<{ name: string | undefined; digests: string[] }> {
  if (name === undefined) return { name, digests: [] };
  const digest = await connection.imageDigest(name, namespace, deadlineMs);
  if (digest === undefined) return { name, digests: [] };
  if (isNamed(name)) return { name, digests: [digest] };
  const names = (await connection.imageNames(digest, namespace, deadlineMs)).filter(isNamed);
  return { name: names.find((each) => !each.includes('@')) ?? names[0] ?? name, digests: [digest] };
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

function jsonOf(text: Buffer | undefined): unknown {
  return text && parseJson(text.toString('utf8'));
}
