/**
 * The TLS socket of the webhook, from listening to the last answer. Owns the server and its connections.
 *
 * How it ends (`drain`): new requests are still answered for a while, each with `connection: close`, so that
 * callers which saw `/readyz` fail go elsewhere; then no connection is accepted and idle ones are closed;
 * requests in flight are answered; what is left at the hard limit is cut off. It never waits for ever.
 */

import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { CertificatePair } from '../certificates/pair.ts';
import { type ErrorCode, GateError } from '../errors.ts';
import { log } from '../log.ts';
import { boundConnections } from './connections.ts';

/** Kubernetes' API server keeps idle connections for 90 s; whoever closes first must not be the server. */
const keepAliveMs = 95_000;
/** Also for connections that never carried a request: Go's client opens some in advance. */
const headersMs = 100_000;
/** A handshake takes milliseconds; whoever is busy and far away may take seconds. */
const handshakeMs = 10_000;
/** An API server needs tens; the memory of this many is below 100 MB. */
const defaultMaxConnections = 2_000;

export interface ListenOptions {
  /** Everyone is asked for a client certificate of these authorities (PEM); nobody is refused here. */
  readonly clientAuthorities?: string;
  /** Open at a time; for one more the connection that is missed least is closed (default: 2000). */
  readonly maxConnections?: number;
}

export interface Listener {
  readonly port: number;
  /** New connections get this certificate; those that exist go on. */
  useCertificate(pair: CertificatePair): void;
  /** Likewise. */
  useClientAuthorities(authorities: string): void;
  /**
   * Ends as described above: `lingerMs` milliseconds of answering as before, then at most `hardMs` for what is
   * in flight. Calling it again ends the first wait at once.
   */
  drain(lingerMs: number, hardMs: number): Promise<void>;
}

/** @throws LISTEN_FAILED */
export async function listen(
  host: string,
  port: number,
  pair: CertificatePair,
  handle: RequestListener,
  { clientAuthorities, maxConnections = defaultMaxConnections }: ListenOptions = {},
): Promise<Listener> {
  // Without `minVersion` a later context would allow TLS 1.2 again.
  let context = {
    minVersion: 'TLSv1.3' as const,
    cert: pair.cert,
    key: pair.key,
    ...(clientAuthorities !== undefined && { ca: clientAuthorities }),
  };
  const server = createServer({
    ...context,
    requestCert: clientAuthorities !== undefined,
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMs,
    keepAliveTimeout: keepAliveMs,
  });
  server.headersTimeout = headersMs;
  server.requestTimeout = headersMs;
  let isDraining = false;
  const connections = boundConnections(maxConnections);
  server.on('connection', connections.open);
  server.on('secureConnection', connections.secure);
  server.on('request', (request, response) => {
    connections.use(request.socket);
    if (isDraining) response.setHeader('connection', 'close');
    // Began before the drain: its caller was not told that the connection ends with this answer.
    response.once('close', () => {
      if (!server.listening) setImmediate(() => server.closeIdleConnections());
    });
    handle(request, response);
  });
  server.on('clientError', refuseGarbage);
  server.on('tlsClientError', (error, socket) => {
    log.debug({ reason: error.message }, 'TLS handshake failed');
    // Nothing can be said to it, and node closes it only where nobody listens to `clientError`.
    socket.destroy();
  });
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('LISTEN_FAILED', `cannot listen on \`${host}:${port}\`: ${reason}`, error);
  }

  const lingering = new AbortController();
  return {
    port: (server.address() as AddressInfo).port,
    useCertificate({ cert, key }) {
      context = { ...context, cert, key };
      server.setSecureContext(context);
    },
    useClientAuthorities(ca) {
      context = { ...context, ca };
      server.setSecureContext(context);
    },
    async drain(lingerMs, hardMs) {
      if (isDraining) return lingering.abort();
      isDraining = true;
      await setTimeout(lingerMs, undefined, { signal: lingering.signal }).catch(() => undefined);
      const closed = new Promise((resolve) => server.close(resolve));
      // Node takes connections that never carried a request for busy ones, so `close` would wait for them.
      connections.closeUnused();
      const done = new AbortController();
      const limit = setTimeout(hardMs, undefined, { signal: done.signal }).catch(() => undefined);
      await Promise.race([closed, limit]);
      done.abort();
      server.closeAllConnections();
    },
  };
}

/** Answers what is not HTTP; whoever was only too slow gets no answer, since Go's client logs one that it did not ask for. */
function refuseGarbage(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (
    !socket.writable ||
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ||
    error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT'
  ) {
    socket.destroy();
    return;
  }
  const code: ErrorCode = 'HTTP_FORM';
  const text = JSON.stringify({ code, message: 'the request is not HTTP/1.1' });
  const head = `content-type: application/json\r\ncontent-length: ${text.length}\r\nconnection: close`;
  socket.end(`HTTP/1.1 400 Bad Request\r\n${head}\r\n\r\n${text}`);
}
