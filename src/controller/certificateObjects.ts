/**
 * The objects in the API server that certificates are about: one Secret and the webhook configurations.
 *
 * Of each it owns exactly the fields that it writes, by server-side apply under a field manager of its own: `data` of
 * the Secret, and `caBundle` of every webhook. Charts and GitOps tools own the rest and never see a difference. Every
 * write names the version that was read, so that a leader which no longer leads cannot undo what its successor did.
 */

import { type Cluster, hasStatus } from '../kubernetes/client.ts';
import type { Kind, Secret, Webhook, WebhookConfiguration } from '../kubernetes/kinds.ts';
import { ownLabels } from '../kubernetes/names.ts';

export const fieldManager = 'd4c-gate-certificates';

export interface ConfigurationName {
  readonly kind: Extract<Kind, 'mutatingwebhookconfigurations' | 'validatingwebhookconfigurations'>;
  readonly name: string;
}

export interface CertificateObjects {
  /** As they are now, not from a cache. Those that are not there are `undefined`. */
  read(): Promise<{
    readonly secret: Secret | undefined;
    readonly configurations: ReadonlyMap<string, WebhookConfiguration | undefined>;
  }>;
  createSecret(): Promise<void>;
  /** @throws KUBERNETES_REFUSED with status 409 when the Secret has changed since it was read; so does `applyBundle` */
  applyData(read: Secret, data: Readonly<Record<string, string>>): Promise<void>;
  /** @param id as in `read().configurations` */
  applyBundle(id: string, read: WebhookConfiguration, pem: string): Promise<void>;
}

export function certificateObjects(
  cluster: Pick<Cluster, 'find' | 'create' | 'apply'>,
  secret: { readonly name: string; readonly namespace: string },
  configurations: readonly ConfigurationName[],
): CertificateObjects {
  const named = new Map(configurations.map((one) => [idOf(one), one]));
  return {
    async read() {
      const [found, ...objects] = await Promise.all([
        cluster.find('secrets', secret),
        ...configurations.map(({ kind, name }) => cluster.find(kind, { name })),
      ]);
      return {
        secret: found,
        configurations: new Map([...named.keys()].map((id, index) => [id, objects[index]])),
      };
    },
    async createSecret() {
      try {
        const metadata = { ...secret, labels: { ...ownLabels } };
        await cluster.create('secrets', { metadata, type: 'Opaque' }, { fieldManager });
      } catch (error) {
        if (!hasStatus(error, 409)) throw error;
      }
    },
    async applyData(read, data) {
      const { resourceVersion } = read.metadata;
      const body = { metadata: { ...secret, resourceVersion }, data: { ...data } };
      await cluster.apply('secrets', body, { fieldManager });
    },
    async applyBundle(id, read, pem) {
      const one = named.get(id);
      if (one === undefined) throw new Error(`no configuration \`${id}\``);
      const { kind, name } = one;
      const { resourceVersion } = read.metadata;
      const caBundle = Buffer.from(pem, 'latin1').toString('base64');
      // Only the key of the list and the field that is ours; the API server has the rest of each webhook.
      const webhooks = (read.webhooks ?? []).map(
        (webhook) => ({ name: webhook.name, clientConfig: { caBundle } }) as Webhook,
      );
      await cluster.apply(kind, { metadata: { name, resourceVersion }, webhooks }, { fieldManager });
    },
  };
}

/** For example `mutating/d4c-gate`. */
export function idOf({ kind, name }: ConfigurationName): string {
  return `${kind === 'mutatingwebhookconfigurations' ? 'mutating' : 'validating'}/${name}`;
}
