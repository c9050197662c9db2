/**
 * The parts of containerd's public gRPC API (https://github.com/containerd/containerd/tree/main/api) that tell
 * what a container is: names and field numbers, in the JSON form of protobuf.js. Fields that are not named
 * here are skipped by the decoder.
 */

import { Client, credentials, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

type Field = { id: number; type: string; rule?: 'repeated'; keyType?: string };

const text = (id: number): Field => ({ id, type: 'string' });
const texts = (id: number): Field => ({ id, type: 'string', rule: 'repeated' });
const textMap = (id: number): Field => ({ id, keyType: 'string', type: 'string' });
const message = (id: number, type: string): Field => ({ id, type });
const messages = (id: number, type: string): Field => ({ id, type, rule: 'repeated' });

const containers = {
  // A well-known type; the same on the wire under any name.
  Any: { fields: { type_url: text(1), value: { id: 2, type: 'bytes' } } },
  Runtime: { fields: { name: text(1) } },
  Container: {
    fields: {
      id: text(1),
      labels: textMap(2),
      image: text(3),
      runtime: message(4, 'Runtime'),
      spec: message(5, 'Any'),
      extensions: { id: 10, keyType: 'string', type: 'Any' },
    },
  },
  GetContainerRequest: { fields: { id: text(1) } },
  GetContainerResponse: { fields: { container: message(1, 'Container') } },
  Containers: {
    methods: { Get: { requestType: 'GetContainerRequest', responseType: 'GetContainerResponse' } },
  },
};

const images = {
  Descriptor: { fields: { media_type: text(1), digest: text(2) } },
  Image: { fields: { name: text(1), target: message(3, 'Descriptor') } },
  GetImageRequest: { fields: { name: text(1) } },
  GetImageResponse: { fields: { image: message(1, 'Image') } },
  ListImagesRequest: { fields: { filters: texts(1) } },
  ListImagesResponse: { fields: { images: messages(1, 'Image') } },
  Images: {
    methods: {
      Get: { requestType: 'GetImageRequest', responseType: 'GetImageResponse' },
      List: { requestType: 'ListImagesRequest', responseType: 'ListImagesResponse' },
    },
  },
};

const namespaces = {
  Namespace: { fields: { name: text(1) } },
  ListNamespacesRequest: { fields: { filter: text(1) } },
  ListNamespacesResponse: { fields: { namespaces: messages(1, 'Namespace') } },
  Namespaces: {
    methods: { List: { requestType: 'ListNamespacesRequest', responseType: 'ListNamespacesResponse' } },
  },
};

const inPackage = (name: string, nested: object) => ({
  nested: { services: { nested: { [name]: { nested: { v1: { nested } } } } } },
});

const service = (name: string, nested: object, title: string) => {
  const definitions = fromJSON(
    { nested: { containerd: inPackage(name, nested) } } as Parameters<typeof fromJSON>[0],
    { keepCase: true, defaults: true, longs: String },
  );
  return definitions[`containerd.services.${name}.v1.${title}`] as unknown as Record<
    string,
    MethodDefinition<object, unknown>
  >;
};

const methods = {
  getContainer: service('containers', containers, 'Containers').Get,
  getImage: service('images', images, 'Images').Get,
  listImages: service('images', images, 'Images').List,
  listNamespaces: service('namespaces', namespaces, 'Namespaces').List,
};

export interface ContainerdConnection {
  /**
   * One call, in one of containerd's namespaces. `undefined` when containerd has no such object.
   * Rejects when it cannot be asked or does not answer within `deadlineMs`.
   */
  call(
    method: keyof typeof methods,
    request: object,
    namespace: string | undefined,
    deadlineMs: number,
  ): Promise<unknown>;
  close(): void;
}

const notFound = 5;

/** Connects to a containerd by its unix socket, at the first call and again whenever it was restarted. */
export function connectContainerd(socket: string): ContainerdConnection {
  const client = new Client(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    'grpc.max_receive_message_length': 16 << 20,
  });
  return {
    call(method, request, namespace, deadlineMs) {
      const definition = methods[method];
      if (definition === undefined) return Promise.reject(new Error(`no method ${method}`));
      const metadata = new Metadata();
      if (namespace !== undefined) metadata.set('containerd-namespace', namespace);
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          definition.path,
          definition.requestSerialize,
          definition.responseDeserialize,
          request,
          metadata,
          { deadline: Date.now() + deadlineMs },
          (error, answer) => {
            if (error === null) resolve(answer);
            else if (error.code === notFound) resolve(undefined);
            else reject(error);
          },
        );
      });
    },
    close: () => client.close(),
  };
}
