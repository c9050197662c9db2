/**
 * Makes certificate authorities and serving certificates. node-forge builds and signs; the keys come from OpenSSL's
 * thread pool, since forge's own key generation blocks the event loop for seconds. What forge does here takes about
 * 20 ms.
 */

import { generateKeyPair, randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { type CertificatePair, readPair } from './pair.ts';

const { asn1, md, pki } = forge;

/** Milliseconds since 1970. X.509 keeps whole seconds, so parts of a second are cut off. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What forge cannot make is ECDSA; RSA of 2048 bits is what every API server and client accepts. */
const keyBits = 2048;
const makeKeys = promisify(generateKeyPair);

/** Alternative names of RFC 5280, by forge's numbers. */
const dnsName = 2;
const ipAddress = 7;

/** A self-signed authority that may sign serving certificates and nothing else that signs. */
export async function makeAuthority(commonName: string, validity: Validity): Promise<CertificatePair> {
  const { publicKeyPem, keyPem } = await newKeys();
  const certificate = blank(publicKeyPem, commonName, validity);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  return signed(certificate, keyPem, keyPem);
}

/**
 * A serving certificate with a new key.
 * @param hosts DNS names and IP addresses that clients may use; at least one
 */
export async function issueLeaf(
  authority: CertificatePair,
  hosts: readonly string[],
  validity: Validity,
): Promise<CertificatePair> {
  const { publicKeyPem, keyPem } = await newKeys();
  const issuer = pki.certificateFromPem(authority.cert);
  const certificate = blank(publicKeyPem, 'd4c-gate', validity);
  certificate.setIssuer(issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    {
      name: 'subjectAltName',
      altNames: hosts.map((host) =>
        isIP(host) === 0 ? { type: dnsName, value: host } : { type: ipAddress, ip: host },
      ),
    },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ]);
  return signed(certificate, keyPem, authority.key);
}

async function newKeys(): Promise<{ publicKeyPem: string; keyPem: string }> {
  const { publicKey, privateKey } = await makeKeys('rsa', { modulusLength: keyBits });
  return {
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function blank(publicKeyPem: string, commonName: string, validity: Validity): forge.pki.Certificate {
  const certificate = pki.createCertificate();
  certificate.publicKey = pki.publicKeyFromPem(publicKeyPem);
  certificate.serialNumber = randomSerial();
  certificate.validity.notBefore = new Date(validity.notBefore);
  certificate.validity.notAfter = new Date(validity.notAfter);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  return certificate;
}

/** 127 random bits: unique without a memory of earlier ones, and positive (RFC 5280, 4.1.2.2). */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x7f) | 0x40, 0);
  return bytes.toString('hex');
}

function signed(certificate: forge.pki.Certificate, keyPem: string, signingKeyPem: string): CertificatePair {
  certificate.sign(pki.privateKeyFromPem(signingKeyPem), md.sha256.create());
  const der = Buffer.from(asn1.toDer(pki.certificateToAsn1(certificate)).getBytes(), 'binary');
  return readPair(toPem(der), keyPem);
}

/** As OpenSSL writes it: lines of 64 characters that end in a line feed. */
function toPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
