/**
 * Certificates for trying the webhook out: a CA of one's own and a serving certificate signed by it, as files.
 * They are made once and used again until they are about to end or lack a name.
 */

import { generateKeyPair, randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { GateError } from '../errors.ts';
import type { TlsFiles } from './tlsFiles.ts';

export interface DevCertificates extends TlsFiles {
  readonly caFile: string;
}

const dayMs = 86_400_000;
const caDays = 365;
const leafDays = 90;
/** What ends earlier than this is made anew. */
const minimumLeftMs = 7 * dayMs;
/** Names under which people try it: this machine, and the Service of the chart's defaults. */
const usualHosts = ['localhost', '127.0.0.1', '::1', 'd4c-gate.d4c-gate.svc'];

interface Authority {
  readonly cert: string;
  readonly key: string;
}

/**
 * The certificates in `directory`, which is made when it is not there; keys are readable by their owner alone.
 * `host` is served besides the usual names.
 * @throws FILE_UNREADABLE when the directory cannot be used
 */
export async function ensureDevCertificates(directory: string, host: string): Promise<DevCertificates> {
  const files = {
    caFile: join(directory, 'ca.crt'),
    certFile: join(directory, 'tls.crt'),
    keyFile: join(directory, 'tls.key'),
  };
  const hosts = [...new Set([...usualHosts, host])].filter((one) => one !== '::' && one !== '0.0.0.0');
  try {
    await mkdir(directory, { recursive: true });
    const ca = await ensureAuthority(files.caFile, join(directory, 'ca.key'));
    if (await isLeafUsable(files, ca, hosts)) return files;
    const leaf = await makeLeaf(ca, hosts);
    await replaceFile(files.keyFile, leaf.key, 0o600);
    await replaceFile(files.certFile, leaf.cert, 0o644);
    return files;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('FILE_UNREADABLE', `cannot keep certificates in \`${directory}\`: ${reason}`, error);
  }
}

async function ensureAuthority(certFile: string, keyFile: string): Promise<Authority> {
  const [cert, key] = await Promise.all([readIfThere(certFile), readIfThere(keyFile)]);
  const parsed = parseCertificate(cert);
  if (parsed !== undefined && key !== '' && lastsLongEnough(parsed)) return { cert, key };
  const keys = await makeKeys();
  const subject = [{ name: 'commonName', value: 'd4c-gate development CA' }];
  const certificate = newCertificate(keys.publicKey, caDays, subject, subject);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  const authority = { cert: signWith(certificate, keys.privateKey), key: keys.privateKey };
  await replaceFile(keyFile, authority.key, 0o600);
  await replaceFile(certFile, authority.cert, 0o644);
  return authority;
}

async function isLeafUsable(files: TlsFiles, ca: Authority, hosts: readonly string[]): Promise<boolean> {
  const [cert, key] = await Promise.all([readIfThere(files.certFile), readIfThere(files.keyFile)]);
  const leaf = parseCertificate(cert);
  if (leaf === undefined || key === '' || !lastsLongEnough(leaf)) return false;
  const serves = (host: string): boolean =>
    (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) !== undefined;
  return leaf.verify(new X509Certificate(ca.cert).publicKey) && hosts.every(serves);
}

async function makeLeaf(ca: Authority, hosts: readonly string[]): Promise<Authority> {
  const keys = await makeKeys();
  const subject = [{ name: 'commonName', value: 'd4c-gate' }];
  const issuer = forge.pki.certificateFromPem(ca.cert);
  const certificate = newCertificate(keys.publicKey, leafDays, subject, issuer.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, critical: true },
    { name: 'extKeyUsage', serverAuth: true },
    // Type 7 is an IP address, type 2 a DNS name (RFC 5280, GeneralName).
    {
      name: 'subjectAltName',
      altNames: hosts.map((host) => (isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host })),
    },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ]);
  return { cert: signWith(certificate, ca.key), key: keys.privateKey };
}

function newCertificate(
  publicKey: string,
  days: number,
  subject: forge.pki.CertificateField[],
  issuer: forge.pki.CertificateField[],
): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  // Positive, as RFC 5280 asks: the first bit is 0 and some later one is not.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`;
  // An hour back, for clients whose clocks are late.
  certificate.validity.notBefore = new Date(Date.now() - 3_600_000);
  certificate.validity.notAfter = new Date(Date.now() + days * dayMs);
  certificate.setSubject(subject);
  certificate.setIssuer(issuer);
  return certificate;
}

function signWith(certificate: forge.pki.Certificate, privateKey: string): string {
  certificate.sign(forge.pki.privateKeyFromPem(privateKey), forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}

/** RSA keys of node's own making: forge's would hold up the event loop for seconds. */
async function makeKeys(): Promise<{ publicKey: string; privateKey: string }> {
  return promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
}

function lastsLongEnough({ validToDate }: X509Certificate): boolean {
  return validToDate.getTime() - Date.now() > minimumLeftMs;
}

function parseCertificate(text: string): X509Certificate | undefined {
  try {
    return new X509Certificate(text);
  } catch {
    return undefined;
  }
}

async function readIfThere(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '');
}

/** By rename, so that a second process that starts at the same time never reads half a file. */
async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, file);
}
