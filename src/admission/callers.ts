/**
 * Who may call the hooks, where the operator wants to know: whoever presents a client certificate that verifies and has
 * a listed name. Health and metrics stay open to kubelets and Prometheus, so the TLS server asks everyone for a
 * certificate and refuses nobody; this check does, before anything of a body is read.
 */

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';
import { log } from '../log.ts';
import { notifyOfChanges } from '../sources/changes.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void;

/** An express handler that fails requests with CALLER_REFUSED unless their connection shows one of these names. */
export function callerCheck(names: readonly string[]): Handler {
  const listed = new Set(names);
  /** Why a connection is refused, or '': once for each, since its certificate cannot change. */
  const known = new WeakMap<Duplex, string>();
  return ({ socket }, _response, next) => {
    const refusal = known.get(socket) ?? refusalOf(socket, listed);
    known.set(socket, refusal);
    if (refusal === '') return next();
    reportFailure('caller_refused', { peer: socket.remoteAddress, reason: refusal });
    next(new GateError('CALLER_REFUSED', refusal));
  };
}

function refusalOf(socket: Duplex, listed: ReadonlySet<string>): string {
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  // Asked before `authorized`, which is true for a resumed session that never had a certificate.
  if (!(socket instanceof TLSSocket) || certificate === undefined) return 'a client certificate is required';
  if (!socket.authorized) return `the client certificate is refused: ${socket.authorizationError}`;
  const names = namesIn(socket, certificate);
  if (names.some((name) => listed.has(name))) return '';
  const shown = names.slice(0, 5).map((name) => `\`${name.slice(0, 100)}\``);
  return `the client certificate is for ${shown.join(', ') || 'nobody'}, which \`--client-name\` does not list`;
}

/** The common name, and the alternative names of every kind. */
function namesIn(socket: TLSSocket, { subjectAltName = '' }: X509Certificate): string[] {
  // More than one of a kind comes as a list.
  const commonNames: string | string[] = socket.getPeerCertificate().subject?.CN ?? [];
  // Node quotes a name that looks like several; an honest certificate has none.
  const isPlain = subjectAltName !== '' && !subjectAltName.includes('"');
  const others = isPlain ? subjectAltName.split(', ') : [];
  return [...[commonNames].flat(), ...others.map((name) => name.slice(name.indexOf(':') + 1))];
}

/** The authorities in a file, PEM. @throws FILE_UNREADABLE @throws TLS_UNUSABLE when a certificate in it is damaged, or none is there */
export async function readClientAuthorities(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new GateError('FILE_UNREADABLE', `cannot read \`${file}\`: ${reasonOf(error)}`, error);
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    throw new GateError('TLS_UNUSABLE', `\`${file}\` holds no certificate of an authority (PEM)`);
  }
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (error) {
      throw new GateError(
        'TLS_UNUSABLE',
        `certificate ${index + 1} of \`${file}\` is damaged: ${reasonOf(error)}`,
        error,
      );
    }
  }
  return `${blocks.join('\n')}\n`;
}

/** Calls `use` with each further state of the file that can be used; looks every `recheckMs` milliseconds besides (default: 10 seconds). */
export function followClientAuthorities(
  file: string,
  first: string,
  use: (authorities: string) => void,
  recheckMs = 10_000,
): { close(): void } {
  let current = first;
  let lastRefusal: string | undefined;
  return notifyOfChanges(file, recheckMs, async () => {
    try {
      const next = await readClientAuthorities(file);
      lastRefusal = undefined;
      if (next === current) return;
      use(next);
      current = next;
      log.info({ file }, 'asking callers for certificates of other authorities');
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== lastRefusal) reportFailure('tls_reload_refused', { reason });
      lastRefusal = reason;
    }
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
