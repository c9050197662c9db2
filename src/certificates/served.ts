/** The certificate that this process serves: replaced by better ones only, and watched for its end. */

import { Gauge } from 'prom-client';
import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';
import { log } from '../log.ts';
import { registry } from '../metrics.ts';
import type { CertificatePair } from './pair.ts';

const notAfterSeconds = new Gauge({
  name: 'd4c_gate_admission_cert_not_after_timestamp_seconds',
  help: 'When the certificate that this process serves expires, in seconds since 1970.',
  registers: [registry],
});

export interface Served {
  /** `undefined` until there is a first one. */
  readonly current: CertificatePair | undefined;
  /**
   * Reads a pair and serves it when it is another one. A pair that cannot be read, or has expired while the current
   * one has not, is counted and changes nothing. Never rejects.
   */
  renew(read: () => Promise<CertificatePair>): Promise<void>;
}

/**
 * @param use makes new connections get this pair; must not throw
 * @param now milliseconds since 1970
 */
export function keepServed(
  use: (pair: CertificatePair) => void,
  first?: CertificatePair,
  now: () => number = Date.now,
): Served {
  let current = first;
  let lastRefusal: string | undefined;
  if (first !== undefined) notAfterSeconds.set(first.notAfter / 1000);

  function offer(pair: CertificatePair): void {
    const isSame = pair.cert === current?.cert && pair.key === current.key;
    if (isSame) return;
    if (current !== undefined && pair.notAfter <= now() && current.notAfter > now()) {
      throw new GateError('TLS_UNUSABLE', `it expired on ${new Date(pair.notAfter).toISOString()}`);
    }
    use(pair);
    current = pair;
    notAfterSeconds.set(pair.notAfter / 1000);
    log.info({ notAfter: new Date(pair.notAfter) }, 'serving another certificate');
  }

  return {
    get current() {
      return current;
    },
    async renew(read) {
      try {
        offer(await read());
        lastRefusal = undefined;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        // Once for each state of the source, however often it is looked at.
        if (reason !== lastRefusal) reportFailure('tls_reload_refused', { reason });
        lastRefusal = reason;
      }
    },
  };
}
