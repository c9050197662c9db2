/** Puts records into a containerd as its CRI plugin does for the kubelet, without starting anything. */

import { Client, credentials, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

const description = {
  nested: {
    containerd: {
      nested: {
        services: {
          nested: {
            containers: {
              nested: {
                v1: {
                  nested: {
                    Any: { fields: { type_url: { id: 1, type: 'string' }, value: { id: 2, type: 'bytes' } } },
                    Runtime: { fields: { name: { id: 1, type: 'string' } } },
                    Container: {
                      fields: {
                        id: { id: 1, type: 'string' },
                        labels: { id: 2, keyType: 'string', type: 'string' },
                        image: { id: 3, type: 'string' },
                        runtime: { id: 4, type: 'Runtime' },
                        spec: { id: 5, type: 'Any' },
                        extensions: { id: 10, keyType: 'string', type: 'Any' },
                      },
                    },
                    CreateContainerRequest: { fields: { container: { id: 1, type: 'Container' } } },
                    CreateContainerResponse: { fields: { container: { id: 1, type: 'Container' } } },
                    Containers: {
                      methods: {
                        Create: {
                          requestType: 'CreateContainerRequest',
                          responseType: 'CreateContainerResponse',
                        },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};

export interface ContainerdRecordInput {
  readonly id: string;
  readonly image: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Content of the CRI plugin's sandbox metadata. */
  readonly sandbox?: unknown;
  /** Default: `io.containerd.runc.v2`. */
  readonly runtime?: string;
}

/** Creates the record in containerd's namespace `k8s.io`. */
export async function createRecord(socket: string, record: ContainerdRecordInput): Promise<void> {
  const definitions = fromJSON(description as Parameters<typeof fromJSON>[0], { keepCase: true });
  const service = definitions['containerd.services.containers.v1.Containers'] as unknown as {
    Create: MethodDefinition<object, object>;
  };
  const any = (value: unknown) => ({ type_url: 'test', value: Buffer.from(JSON.stringify(value ?? null)) });
  const sandbox = { 'io.cri-containerd.sandbox.metadata': any(record.sandbox) };
  const container = {
    id: record.id,
    image: record.image,
    labels: record.labels ?? {},
    runtime: { name: record.runtime ?? 'io.containerd.runc.v2' },
    spec: any({ annotations: record.annotations }),
    extensions: record.sandbox === undefined ? {} : sandbox,
  };
  const metadata = new Metadata();
  metadata.set('containerd-namespace', 'k8s.io');
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = service.Create;
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = { deadline: Date.now() + 5_000 };
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { container },
        metadata,
        deadline,
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
  } finally {
    client.close();
  }
}
