/** A certificate with its private key, checked: whoever holds a `CertificatePair` can serve or sign with it. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { GateError } from '../errors.ts';

declare const checked: unique symbol;

/** The key belongs to the certificate and OpenSSL takes both. Only `readPair` makes one. Says nothing about expiry. */
export interface CertificatePair {
  readonly [checked]: true;
  /** PEM: the certificate, and after it any intermediate ones. */
  readonly cert: string;
  /** PEM, not encrypted. */
  readonly key: string;
  readonly certificate: X509Certificate;
  /** Milliseconds since 1970, as `Date.now()`. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** @throws TLS_UNUSABLE when either is not PEM, the two do not belong together or OpenSSL refuses them */
export function readPair(cert: string, key: string): CertificatePair {
  const certificate = attempt('the certificate is not PEM', () => new X509Certificate(cert));
  const privateKey = attempt('the private key is not PEM', () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new GateError('TLS_UNUSABLE', 'the private key is not the key of the certificate');
  }
  // What makes the server refuse a reload must be found here, while the last pair is still in use.
  attempt('OpenSSL refuses them', () => createSecureContext({ cert, key }));
  return {
    cert,
    key,
    certificate,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
  } as CertificatePair;
}

/** Whether `issuer` signed `certificate`: by name, by key identifier and by the signature itself. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Whether clients may use every one of these DNS names and IP addresses. */
export function isFor(certificate: X509Certificate, hosts: readonly string[]): boolean {
  return hosts.every((host) =>
    isIP(host) === 0 ? certificate.checkHost(host) !== undefined : certificate.checkIP(host) !== undefined,
  );
}

function attempt<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('TLS_UNUSABLE', `${what}: ${reason}`, error);
  }
}
