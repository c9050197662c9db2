/** A serving certificate and its key from two files, followed as they change, so that a renewal needs no restart. */

import { readFile } from 'node:fs/promises';
import { type CertificatePair, readPair } from '../certificates/pair.ts';
import type { Served } from '../certificates/served.ts';
import { GateError } from '../errors.ts';
import { notifyOfChanges } from '../sources/changes.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** @throws FILE_UNREADABLE @throws TLS_UNUSABLE when the two do not go together, or either is not PEM */
export async function readTlsFiles({ certFile, keyFile }: TlsFiles): Promise<CertificatePair> {
  const [cert, key] = await Promise.all([readText(certFile), readText(keyFile)]);
  try {
    return readPair(cert, key);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError(
      'TLS_UNUSABLE',
      `cannot serve with \`${certFile}\` and \`${keyFile}\`: ${reason}`,
      error,
    );
  }
}

/** Renews what is served when the files change; looks every `recheckMs` milliseconds besides (default: 10 seconds). */
export function followTlsFiles(files: TlsFiles, served: Served, recheckMs = 10_000): { close(): void } {
  return notifyOfChanges(files.certFile, recheckMs, () => served.renew(() => readTlsFiles(files)));
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('FILE_UNREADABLE', `cannot read \`${file}\`: ${reason}`, error);
  }
}
