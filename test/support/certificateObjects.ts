/** The Secret and the webhook configurations in memory, with the API server's rule for concurrent writes. */

import type { X509Certificate } from 'node:crypto';
import { contains, readBundle } from '../../src/controller/caBundles.ts';
import type { CertificateObjects } from '../../src/controller/certificateObjects.ts';
import { KubernetesError } from '../../src/kubernetes/client.ts';
import type { Secret, WebhookConfiguration } from '../../src/kubernetes/kinds.ts';

export interface ObjectsInMemory extends CertificateObjects {
  secret: Secret | undefined;
  readonly configurations: Map<string, WebhookConfiguration | undefined>;
  /** Called before each write with its number, from 0, and its name; what it throws is the write's failure. */
  beforeWrite: (index: number, name: string) => void;
  /** Called after each write: what it throws is all that the writer learns of a write that was done. */
  afterWrite: (index: number) => void;
  /** Names of the writes so far. */
  readonly writes: string[];
  /** The bundle that every webhook of every configuration has, PEM. Throws when they differ. */
  bundle(): string;
  /** What every webhook of every configuration trusts. */
  trusted(): X509Certificate[];
}

export const mutating = 'mutating/d4c-gate';
export const validating = 'validating/d4c-gate';

/** As the chart leaves them: a Secret without data, webhooks without `caBundle`. */
export function objectsInMemory(): ObjectsInMemory {
  let version = 0;
  const nextVersion = () => {
    version += 1;
    return String(version);
  };
  const checkVersion = (
    now: { metadata: { resourceVersion?: string } } | undefined,
    read: { metadata: { resourceVersion?: string } },
  ) => {
    if (now === undefined || now.metadata.resourceVersion !== read.metadata.resourceVersion) {
      throw new KubernetesError(409, 'Conflict', 'the object has been modified');
    }
  };
  const write = (name: string, done: () => void) => {
    const index = objects.writes.length;
    objects.beforeWrite(index, name);
    objects.writes.push(name);
    done();
    objects.afterWrite(index);
  };
  const objects: ObjectsInMemory = {
    secret: { metadata: { name: 's', resourceVersion: nextVersion() } },
    configurations: new Map([
      [mutating, configuration(nextVersion(), ['mutate.d4c-gate.io'])],
      [validating, configuration(nextVersion(), ['validate.d4c-gate.io', 'guard.d4c-gate.io'])],
    ]),
    writes: [],
    beforeWrite: () => undefined,
    afterWrite: () => undefined,
    async read() {
      return structuredClone({ secret: objects.secret, configurations: objects.configurations });
    },
    async createSecret() {
      write('createSecret', () => {
        objects.secret ??= { metadata: { name: 's', resourceVersion: nextVersion() } };
      });
    },
    async writeData(read, data) {
      checkVersion(objects.secret, read);
      write('writeData', () => {
        objects.secret = { metadata: { name: 's', resourceVersion: nextVersion() }, data: { ...data } };
      });
    },
    async writeBundle(id, read, pem) {
      const now = objects.configurations.get(id);
      checkVersion(now, read);
      const webhooks = (now?.webhooks ?? []).map((webhook) => ({
        ...webhook,
        clientConfig: { ...webhook.clientConfig, caBundle: Buffer.from(pem).toString('base64') },
      }));
      write(`writeBundle ${id}`, () => {
        const metadata = { name: 'd4c-gate', resourceVersion: nextVersion() };
        objects.configurations.set(id, { metadata, webhooks });
      });
    },
    bundle() {
      const different = new Set(bundles());
      if (different.size > 1) throw new Error('the webhooks do not have the same bundle');
      return [...different][0] ?? '';
    },
    trusted() {
      const [first = [], ...others] = bundles().map((pem) => readBundle(pem).certificates);
      return first.filter((one) => others.every((certificates) => contains(certificates, one)));
    },
  };
  const bundles = () =>
    [...objects.configurations.values()]
      .flatMap((one) => one?.webhooks ?? [])
      .map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString('latin1'));
  return objects;
}

/** Puts this bundle, PEM, into one configuration, as someone would by hand. */
export function tamper(objects: ObjectsInMemory, id: string, pem: string | undefined): void {
  const now = objects.configurations.get(id);
  const caBundle = pem === undefined ? undefined : Buffer.from(pem).toString('base64');
  for (const webhook of now?.webhooks ?? []) webhook.clientConfig = { ...webhook.clientConfig, caBundle };
  if (now !== undefined) now.metadata.resourceVersion = `by-hand-${Math.random()}`;
}

function configuration(resourceVersion: string, names: readonly string[]): WebhookConfiguration {
  return {
    metadata: { name: 'd4c-gate', resourceVersion },
    webhooks: names.map((name) => ({
      name,
      clientConfig: { url: 'https://127.0.0.1:1/' },
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
    })),
  };
}
