/**
 * Certificates for trying the webhook out: a CA of one's own and a serving certificate signed by it, as files.
 * They are made once and used again until they are about to end or lack a name.
 */

import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issueLeaf, makeAuthority, type Validity } from '../certificates/issue.ts';
import { type CertificatePair, isFor, isIssuedBy } from '../certificates/pair.ts';
import { GateError } from '../errors.ts';
import { readTlsFiles, type TlsFiles } from './tlsFiles.ts';

export interface DevCertificates extends TlsFiles {
  readonly caFile: string;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const caMs = 365 * dayMs;
const leafMs = 90 * dayMs;
/** What ends earlier than this is made anew. */
const minimumLeftMs = 7 * dayMs;
/** Names under which people try it: this machine, and the Service of the chart's defaults. */
const usualHosts = ['localhost', '127.0.0.1', '::1', 'd4c-gate.d4c-gate.svc'];
/** Addresses to listen on that nobody can ask for. */
const everyAddress = new Set(['::', '0.0.0.0']);

/**
 * The certificates in `directory`, which is made when it is not there; keys are readable by their owner alone.
 * `host` is served besides the usual names.
 * @throws FILE_UNREADABLE when the directory cannot be used
 */
export async function ensureDevCertificates(directory: string, host: string): Promise<DevCertificates> {
  const caFiles = { certFile: join(directory, 'ca.crt'), keyFile: join(directory, 'ca.key') };
  const leafFiles = { certFile: join(directory, 'tls.crt'), keyFile: join(directory, 'tls.key') };
  const hosts = [...new Set([...usualHosts, host])].filter((one) => !everyAddress.has(one));
  try {
    await mkdir(directory, { recursive: true });
    let ca = await readUsable(caFiles);
    if (ca === undefined) {
      ca = await makeAuthority('d4c-gate development CA', lasting(caMs));
      await writePair(caFiles, ca);
    }
    const leaf = await readUsable(leafFiles);
    if (
      leaf === undefined ||
      !isIssuedBy(leaf.certificate, ca.certificate) ||
      !isFor(leaf.certificate, hosts)
    ) {
      await writePair(leafFiles, await issueLeaf(ca, hosts, lasting(leafMs)));
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('FILE_UNREADABLE', `cannot keep certificates in \`${directory}\`: ${reason}`, error);
  }
  return { ...leafFiles, caFile: caFiles.certFile };
}

/** The pair in these files, unless it is missing, damaged or about to end. */
async function readUsable(files: TlsFiles): Promise<CertificatePair | undefined> {
  const pair = await readTlsFiles(files).catch(() => undefined);
  return pair !== undefined && pair.notAfter - Date.now() > minimumLeftMs ? pair : undefined;
}

/** An hour back, for clients whose clocks are late. */
function lasting(forMs: number): Validity {
  return { notBefore: Date.now() - hourMs, notAfter: Date.now() + forMs };
}

async function writePair(files: TlsFiles, pair: CertificatePair): Promise<void> {
  await replaceFile(files.keyFile, pair.key, 0o600);
  await replaceFile(files.certFile, pair.cert, 0o644);
}

/** By rename, so that a second process that starts at the same time never reads half a file. */
async function replaceFile(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text, { mode });
  await rename(temporary, file);
}
