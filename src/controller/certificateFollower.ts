/** Serves the certificate of a Secret, on every replica, and follows it without a restart. */

import { setTimeout as sleep } from 'node:timers/promises';
import { type CertificatePair, readPair } from '../certificates/pair.ts';
import { keepServed } from '../certificates/served.ts';
import { GateError } from '../errors.ts';
import type { Cluster } from '../kubernetes/client.ts';
import type { Secret } from '../kubernetes/kinds.ts';
import { log } from '../log.ts';
import { readState } from './certificateSecret.ts';

/**
 * Who makes the certificate: the controller; cert-manager, which also writes `caBundle`; or the operator, who gives
 * the Secret and `caBundle`. In the last two d4c-gate writes nothing.
 */
export type CertificateMode = 'self' | 'cert-manager' | 'provided';
export const certificateModes: readonly CertificateMode[] = ['self', 'cert-manager', 'provided'];

export interface FollowOptions {
  readonly mode: CertificateMode;
  readonly name: string;
  readonly namespace: string;
  /** Called for each further pair, not for the first. Must not throw. */
  readonly onPair: (pair: CertificatePair) => void;
  /** Between two looks (default: 5000). */
  readonly everyMs?: number;
  readonly now?: () => number;
  /** Ends the following. */
  readonly signal: AbortSignal;
}

/**
 * Gives the first pair as soon as the Secret has one, which after an installation takes some seconds.
 * @throws the signal's reason when it comes first; nothing else, since whatever fails is tried again
 */
export async function followSecret(
  cluster: Pick<Cluster, 'find'>,
  options: FollowOptions,
): Promise<CertificatePair> {
  const { mode, name, namespace, onPair, everyMs = 5_000, now, signal } = options;
  const firstEveryMs = Math.min(everyMs, 500);
  const first = Promise.withResolvers<CertificatePair>();
  let hasFirst = false;
  const served = keepServed(
    (pair) => {
      if (hasFirst) return onPair(pair);
      hasFirst = true;
      first.resolve(pair);
    },
    undefined,
    now,
  );

  let lastVersion: string | undefined;
  async function look(): Promise<void> {
    const secret = await cluster
      .find('secrets', { name, namespace })
      .catch((error: unknown) => error as Error);
    if (!(secret instanceof Error)) {
      // Nothing there yet is how every installation begins.
      if (!hasFirst && secret?.data?.['tls.crt'] === undefined) return;
      const version = secret?.metadata.resourceVersion;
      if (secret !== undefined && version === lastVersion) return;
      lastVersion = version;
    }
    await served.renew(async () => pairOf(secret, mode));
  }

  async function keepGoing(): Promise<never> {
    log.info({ secret: `${namespace}/${name}`, mode }, 'waiting for the serving certificate');
    for (;;) {
      await look();
      await sleep(hasFirst ? everyMs : firstEveryMs, undefined, { signal });
    }
  }

  keepGoing().catch(first.reject);
  return first.promise;
}

function pairOf(secret: Secret | Error | undefined, mode: CertificateMode): CertificatePair {
  if (secret instanceof Error) throw secret;
  if (mode === 'self') {
    const { leaf, problems } = readState(secret?.data);
    if (leaf === undefined)
      throw new GateError('TLS_UNUSABLE', problems[0] ?? 'the Secret has no certificate');
    return leaf;
  }
  const text = (key: string) => Buffer.from(secret?.data?.[key] ?? '', 'base64').toString('latin1');
  return readPair(text('tls.crt'), text('tls.key'));
}
