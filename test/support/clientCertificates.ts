/** Client certificates for tests, as an API server presents them to a webhook that asks. */

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import forge from 'node-forge';
import type { CertificatePair } from '../../src/certificates/pair.ts';

export interface ClientCertificate {
  readonly commonName: string;
  /** DNS names besides. */
  readonly dnsNames?: readonly string[];
  /** URIs besides, such as SPIFFE's. */
  readonly uris?: readonly string[];
  /** Default: for clients. */
  readonly usage?: 'clientAuth' | 'serverAuth';
  /** Milliseconds from now (default: an hour). */
  readonly lastsMs?: number;
}

export function issueClient(
  authority: CertificatePair,
  wanted: ClientCertificate,
): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const { commonName, dnsNames = [], uris = [], usage = 'clientAuth', lastsMs = 3_600_000 } = wanted;
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = `40${randomBytes(8).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - 7_200_000);
  certificate.validity.notAfter = new Date(Date.now() + lastsMs);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  certificate.setIssuer(forge.pki.certificateFromPem(authority.cert).subject.attributes);
  const altNames = [
    ...dnsNames.map((value) => ({ type: 2, value })),
    ...uris.map((value) => ({ type: 6, value })),
  ];
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false },
    { name: 'extKeyUsage', [usage]: true },
    ...(altNames.length === 0 ? [] : [{ name: 'subjectAltName', altNames }]),
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(authority.key), forge.md.sha256.create());
  return { cert: forge.pki.certificateToPem(certificate), key: privateKey };
}
