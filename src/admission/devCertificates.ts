/**
 * Certificates for trying the webhook out: a CA of one's own and a serving certificate signed by it, as files.
 * They are made once and used again until they are about to end or lack a name.
 */

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueLeaf, makeAuthority, type Validity } from '../certificates/issue.ts';
import { type CertificatePair, isFor, isIssuedBy, readPair } from '../certificates/pair.ts';
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
    const leaf = await issueLeaf(ca, hosts, validFor(leafDays));
    await replaceFile(files.keyFile, leaf.key, 0o600);
    await replaceFile(files.certFile, leaf.cert, 0o644);
    return files;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('FILE_UNREADABLE', `cannot keep certificates in \`${directory}\`: ${reason}`, error);
  }
}

async function ensureAuthority(certFile: string, keyFile: string): Promise<CertificatePair> {
  const existing = await readPairIfThere(certFile, keyFile);
  if (existing !== undefined && lastsLongEnough(existing)) return existing;
  const authority = await makeAuthority('d4c-gate development CA', validFor(caDays));
  await replaceFile(keyFile, authority.key, 0o600);
  await replaceFile(certFile, authority.cert, 0o644);
  return authority;
}

async function isLeafUsable(
  files: TlsFiles,
  ca: CertificatePair,
  hosts: readonly string[],
): Promise<boolean> {
  const leaf = await readPairIfThere(files.certFile, files.keyFile);
  return (
    leaf !== undefined &&
    lastsLongEnough(leaf) &&
    isIssuedBy(leaf.certificate, ca.certificate) &&
    isFor(leaf.certificate, hosts)
  );
}

/** From an hour ago, for clients whose clocks are late. */
function validFor(days: number): Validity {
  return { notBefore: Date.now() - 3_600_000, notAfter: Date.now() + days * dayMs };
}

function lastsLongEnough({ notAfter }: CertificatePair): boolean {
  return notAfter - Date.now() > minimumLeftMs;
}

async function readPairIfThere(certFile: string, keyFile: string): Promise<CertificatePair | undefined> {
  try {
    return readPair(await readFile(certFile, 'utf8'), await readFile(keyFile, 'utf8'));
  } catch {
    // Not there, or damaged: it is made anew.
    return undefined;
  }
}

/** By rename, so that a second process that starts at the same time never reads half a file. */
async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, file);
}
