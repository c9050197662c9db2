/** A serving certificate and its key from two files, followed as they change, so that a renewal needs no restart. */

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { readPair } from '../certificates/pair.ts';
import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';
import { log } from '../log.ts';
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
export async function readTlsPair({ certFile, keyFile }: TlsFiles): Promise<TlsPair> {
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
  first: TlsPair,
  onPair: (pair: TlsPair) => void,
  recheckMs = 10_000,
): { close(): void } {
  let seen = textOf(first);
  const check = async (): Promise<void> => {
    try {
      const pair = await readTlsPair(files);
      if (textOf(pair) === seen) return;
      onPair(pair);
      seen = textOf(pair);
      log.info({ notAfter: new X509Certificate(pair.cert).validTo }, 'serving certificate replaced');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (reason !== seen) reportFailure('tls_reload_refused', { reason });
      seen = reason;
    }
  };
  const changes = notifyOfChanges(files.certFile, recheckMs, check);
  return { close: changes.close };
}

function textOf({ cert, key }: TlsPair): string {
  return `${cert}\n${key}`;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('FILE_UNREADABLE', `cannot read \`${file}\`: ${reason}`, error);
  }
}
