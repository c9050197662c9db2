/** A serving certificate and its key from two files, followed as they change, so that a renewal needs no restart. */

import { readFile } from 'node:fs/promises';
import { type CertificatePair, readPair } from '../certificates/pair.ts';
import { keepServed } from '../certificates/served.ts';
import { GateError } from '../errors.ts';
import { notifyOfChanges } from '../sources/changes.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** PEM texts that go together. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** @throws FILE_UNREADABLE @throws TLS_UNUSABLE when the two do not go together, or either is not PEM */
export async function readTlsPair({ certFile, keyFile }: TlsFiles): Promise<CertificatePair> {
  const [cert, key] = await Promise.all([certFile, keyFile].map(readText));
  try {
    return readPair(cert ?? '', key ?? '');
  } catch (error) {
    // OpenSSL's own message never holds key material, but says little; the files are what can be mended.
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError(
      'TLS_UNUSABLE',
      `cannot serve with \`${certFile}\` and \`${keyFile}\`: ${reason}`,
      error,
    );
  }
}

/**
 * Hands every further good pair to `onPair`; a bad one is reported once and the last one stays. Looks when a
 * file changes and every `recheckMs` milliseconds (default: 10 seconds).
 */
export function watchTlsFiles(
  files: TlsFiles,
  first: CertificatePair,
  onPair: (pair: TlsPair) => void,
  recheckMs = 10_000,
): { close(): void } {
  const served = keepServed(onPair, first);
  const check = () => served.renew(() => readTlsPair(files));
  return { close: notifyOfChanges(files.certFile, recheckMs, check).close };
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('FILE_UNREADABLE', `cannot read \`${file}\`: ${reason}`, error);
  }
}
