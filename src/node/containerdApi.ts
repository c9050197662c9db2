/**
 * The parts of containerd's public gRPC API (https://github.com/containerd/containerd/tree/main/api) that tell what a
 * container is. The numbers are those of its fields.
 */

import { openGrpcClient } from './grpc.ts';
import { bytesAt, type Fields, fieldsOf, mapAt, messageAt, textIn, textMessage } from './protobuf.ts';

/** What containerd keeps of a container. */
export interface StoredContainer {
  readonly id: string;
  readonly labels: ReadonlyMap<string, string>;
  /** The image's reference; `undefined` when there is none. */
  readonly image: string | undefined;
  /** The runtime's name. */
  readonly runtime: string | undefined;
  /** Its OCI specification, in JSON. */
  readonly spec: Buffer | undefined;
  /** What plugins keep of it, by their names: the CRI plugin in JSON. */
  readonly extensions: ReadonlyMap<string, Buffer | undefined>;
}

/**
 * Questions to a containerd, each in one of its namespaces. They reject when it cannot be asked, or does not answer
 * within `deadlineMs`.
 */
export interface ContainerdConnection {
  namespaces(deadlineMs: number): Promise<string[]>;
  /** `undefined`: there is none. */
  container(id: string, namespace: string, deadlineMs: number): Promise<StoredContainer | undefined>;
  /** Of the image's manifest or index, for example `sha256:...`; `undefined`: there is no such image. */
  imageDigest(name: string, namespace: string, deadlineMs: number): Promise<string | undefined>;
  /** Under which names there are images of this digest. */
  imageNames(digest: string, namespace: string, deadlineMs: number): Promise<string[]>;
  close(): void;
}

const methods = {
  listNamespaces: '/containerd.services.namespaces.v1.Namespaces/List',
  getContainer: '/containerd.services.containers.v1.Containers/Get',
  getImage: '/containerd.services.images.v1.Images/Get',
  listImages: '/containerd.services.images.v1.Images/List',
};

/** Connects to a containerd by its unix socket, at the first question and again whenever it was restarted. */
export function connectContainerd(socket: string): ContainerdConnection {
  const client = openGrpcClient(socket, `containerd at \`${socket}\``);
  const ask = async (
    method: keyof typeof methods,
    request: Uint8Array,
    namespace: string | undefined,
    deadlineMs: number,
  ): Promise<Fields | undefined> => {
    const metadata: Record<string, string> =
      namespace === undefined ? {} : { 'containerd-namespace': namespace };
    const answer = await client.call(methods[method], request, metadata, deadlineMs);
    return answer && fieldsOf(answer);
  };
  /** Namespaces and images alike have their name in field 1, in a list that is field 1. */
  const namesIn = (answer: Fields | undefined): string[] =>
    (answer?.get(1) ?? []).map((each) => textIn(fieldsOf(each), 1)).filter((name) => name !== undefined);

  return {
    async namespaces(deadlineMs) {
      return namesIn(await ask('listNamespaces', new Uint8Array(), undefined, deadlineMs));
    },
    async container(id, namespace, deadlineMs) {
      const answer = await ask('getContainer', textMessage(1, id), namespace, deadlineMs);
      const container = answer && bytesAt(answer, 1);
      return container && containerOf(fieldsOf(container));
    },
    async imageDigest(name, namespace, deadlineMs) {
      const answer = await ask('getImage', textMessage(1, name), namespace, deadlineMs);
      return answer && textIn(messageAt(messageAt(answer, 1), 3), 2);
    },
    async imageNames(digest, namespace, deadlineMs) {
      const request = textMessage(1, `target.digest==${digest}`);
      return namesIn(await ask('listImages', request, namespace, deadlineMs));
    },
    close: () => client.close(),
  };
}

function containerOf(fields: Fields): StoredContainer {
  // `google.protobuf.Any`: the type in field 1, the value in field 2.
  const valueOfAny = (any: Buffer): Buffer | undefined => bytesAt(fieldsOf(any), 2);
  const spec = bytesAt(fields, 5);
  return {
    id: textIn(fields, 1) ?? '',
    labels: new Map([...mapAt(fields, 2)].map(([key, value]) => [key, value.toString('utf8')])),
    image: textIn(fields, 3),
    runtime: textIn(messageAt(fields, 4), 1),
    spec: spec && valueOfAny(spec),
    extensions: new Map([...mapAt(fields, 10)].map(([name, any]) => [name, valueOfAny(any)])),
  };
}
