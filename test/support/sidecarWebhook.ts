/** A mutating webhook of somebody else, which adds a container to pods. Owns its server and its configuration. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureDevCertificates } from '../../src/admission/devCertificates.ts';
import type { TestCluster } from './cluster.ts';
import { freePort } from './ports.ts';

export interface SidecarWebhook {
  close(): Promise<void>;
}

/** Configurations are called in the order of their names. */
const name = 'zz-sidecar';

/** @param label `KEY=VALUE` of the pods that get a container of this image; the API server calls it after d4c-gate, by its name */
export async function serveSidecars(
  { client }: TestCluster,
  label: string,
  image: string,
): Promise<SidecarWebhook> {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-sidecar-'));
  const { certFile, keyFile, caFile } = await ensureDevCertificates(folder, '127.0.0.1');
  const [cert, key, ca] = await Promise.all([certFile, keyFile, caFile].map((file) => readFile(file)));
  const patch = Buffer.from(
    JSON.stringify([{ op: 'add', path: '/spec/containers/-', value: { name: 'sidecar', image } }]),
  ).toString('base64');
  const server = createServer({ cert, key }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { uid, object } = JSON.parse(Buffer.concat(chunks).toString()).request;
    const isThere = object.spec.containers.some((one: { name: string }) => one.name === 'sidecar');
    const answer = { uid, allowed: true, ...(!isThere && { patchType: 'JSONPatch', patch }) };
    const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(review));
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  // A test that fails must end all the same.
  server.unref();
  const [labelKey = '', value = ''] = label.split('=');
  await client.create('mutatingwebhookconfigurations', {
    metadata: { name },
    webhooks: [
      {
        name: 'sidecar.webhook.test',
        clientConfig: { url: `https://127.0.0.1:${port}/`, caBundle: ca?.toString('base64') ?? '' },
        rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
        objectSelector: { matchLabels: { [labelKey]: value } },
        failurePolicy: 'Fail',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  });
  return {
    async close() {
      await client.delete('mutatingwebhookconfigurations', { name });
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}
