/** Puts records into a containerd as its CRI plugin does for the kubelet, without starting anything. */

import { Client, credentials, Metadata } from '@grpc/grpc-js';
import protobuf from 'protobufjs/light.js';

const text = (id: number) => ({ id, type: 'string' });
const mapOf = (id: number, type: string): protobuf.IMapField => ({ id, keyType: 'string', type });

const messages = protobuf.Root.fromJSON({
  nested: {
    Any: { fields: { type_url: text(1), value: { id: 2, type: 'bytes' } } },
    Runtime: { fields: { name: text(1) } },
    Container: {
      fields: {
        id: text(1),
        labels: mapOf(2, 'string'),
        image: text(3),
        runtime: { id: 4, type: 'Runtime' },
        spec: { id: 5, type: 'Any' },
        extensions: mapOf(10, 'Any'),
      },
    },
    CreateContainerRequest: { fields: { container: { id: 1, type: 'Container' } } },
  },
});
const createPath = '/containerd.services.containers.v1.Containers/Create';

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
  const request = messages.lookupType('CreateContainerRequest').encode({ container }).finish();
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = { deadline: Date.now() + 5_000 };
      client.makeUnaryRequest(
        createPath,
        Buffer.from,
        (answer) => answer,
        request,
        metadata,
        deadline,
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
  } finally {
    client.close();
  }
}
