/** What `caBundle` of the webhook configurations trusts, read as the API server reads it, and what it should trust. */

import { X509Certificate } from 'node:crypto';
import type { WebhookConfiguration } from '../kubernetes/kinds.ts';

/** One webhook configuration as it is now. */
export interface LiveConfiguration {
  /** For example `mutating/d4c-gate`; the label of metrics. */
  readonly id: string;
  readonly object: WebhookConfiguration;
  /** The bundle of each webhook, PEM. */
  readonly bundles: readonly Bundle[];
}

export interface Bundle {
  readonly pem: string;
  readonly certificates: readonly X509Certificate[];
  /** Whether there is anything beside certificates that can be read. */
  readonly hasGarbage: boolean;
}

export function readConfiguration(id: string, object: WebhookConfiguration): LiveConfiguration {
  const texts = (object.webhooks ?? []).map(({ clientConfig }) => clientConfig.caBundle ?? '');
  // Webhooks of one configuration nearly always have the same bundle: parse it once.
  const parsed = new Map(
    texts.map((text) => [text, readBundle(Buffer.from(text, 'base64').toString('latin1'))]),
  );
  return { id, object, bundles: texts.flatMap((text) => parsed.get(text) ?? []) };
}

/** Never throws, and takes time linear in the text, which anyone who may edit the configuration can write. */
export function readBundle(pem: string): Bundle {
  const certificates: X509Certificate[] = [];
  let hasGarbage = false;
  for (const block of pem.split(/(?<=-----END CERTIFICATE-----)\s*/)) {
    if (block === '') continue;
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      hasGarbage = true;
    }
  }
  return { pem, certificates, hasGarbage };
}

/** Whether every webhook of every configuration trusts this certificate. */
export function isTrustedByAll(certificate: X509Certificate, live: readonly LiveConfiguration[]): boolean {
  return live.every(({ bundles }) => bundles.every((bundle) => contains(bundle.certificates, certificate)));
}

/** Whether every webhook has exactly this bundle. */
export function hasBundle({ bundles }: LiveConfiguration, pem: string): boolean {
  return bundles.every((bundle) => bundle.pem === pem);
}

export function contains(certificates: readonly X509Certificate[], one: X509Certificate): boolean {
  return certificates.some(({ fingerprint256 }) => fingerprint256 === one.fingerprint256);
}
