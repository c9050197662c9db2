/**
 * The objects in the API server that certificates are about: one Secret and the webhook configurations.
 *
 * Of each it owns exactly the fields that it writes, under a field manager of its own: `data` of the Secret, and
 * `caBundle` of every webhook. Charts and GitOps tools own the rest and never see a difference (docs/adr/0005). Every
 * write names the version that was read, so that a leader which no longer leads cannot undo what its successor did.
 */

import { type Cluster, hasStatus, type PatchOperation } from '../kubernetes/client.ts';
import type { Kind, Secret, WebhookConfiguration } from '../kubernetes/kinds.ts';
import { ownLabels } from '../kubernetes/names.ts';

const fieldManager = 'd4c-gate-certificates';

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
  /** An empty one, unless there is one by now. */
  createSecret(): Promise<void>;
  /** @throws KUBERNETES_REFUSED with status 409 when the Secret has changed since it was read; so does `writeBundle` */
  writeData(read: Secret, data: Readonly<Record<string, string>>): Promise<void>;
  /** @param id as in `read().configurations` */
  writeBundle(id: string, read: WebhookConfiguration, pem: string): Promise<void>;
}

export function certificateObjects(
  cluster: Pick<Cluster, 'find' | 'apply' | 'jsonPatch'>,
  secret: { readonly name: string; readonly namespace: string },
  configurations: readonly ConfigurationName[],
): CertificateObjects {
  return {
    async read() {
      const [found, ...objects] = await Promise.all([
        cluster.find('secrets', secret),
        ...configurations.map(({ kind, name }) => cluster.find(kind, { name })),
      ]);
      return {
        secret: found,
        configurations: new Map(configurations.map((one, index) => [idOf(one), objects[index]])),
      };
    },

    async createSecret() {
      const metadata = { ...secret, labels: { ...ownLabels } };
      // By apply, since a role can restrict that by name, as it cannot restrict create. Under another manager and
      // without force, so that it takes nothing from a Secret that somebody has made and filled meanwhile.
      const options = { fieldManager: 'd4c-gate', force: false };
      await cluster.apply('secrets', { metadata, type: 'Opaque' }, options).catch((error: unknown) => {
        if (!hasStatus(error, 409)) throw error;
      });
    },

    async writeData({ metadata: { resourceVersion } }, data) {
      const body = { metadata: { ...secret, resourceVersion }, data: { ...data } };
      await cluster.apply('secrets', body, { fieldManager });
    },

    async writeBundle(id, { metadata: { resourceVersion }, webhooks = [] }, pem) {
      const one = configurations.find((configuration) => idOf(configuration) === id);
      if (one === undefined) throw new Error(`no configuration \`${id}\``);
      const value = Buffer.from(pem, 'latin1').toString('base64');
      // Not by apply: that would own the webhooks' keys too, and a chart could then not take a webhook away.
      const patch: PatchOperation[] = [
        { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
        ...webhooks.map((_, index) => ({
          op: 'add' as const,
          path: `/webhooks/${index}/clientConfig/caBundle`,
          value,
        })),
      ];
      await cluster.jsonPatch(one.kind, { name: one.name }, patch, { fieldManager });
    },
  };
}

/** For example `mutating/d4c-gate`. */
function idOf({ kind, name }: ConfigurationName): string {
  return `${kind === 'mutatingwebhookconfigurations' ? 'mutating' : 'validating'}/${name}`;
}
