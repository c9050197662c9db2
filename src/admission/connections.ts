/**
 * Bounds how many connections are open. Whoever opens one too many must not lock out others, and those who were there
 * first must not lock out whoever comes: past the limit the connection that is missed least is closed.
 *
 * Owns no socket: the server does. It holds each from the TCP connection to its end, handshake included.
 */

import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { reportFailure } from '../failures.ts';

export interface Connections {
  /** A connection was accepted; another may be closed for it. */
  open(socket: Socket): void;
  /** Its TLS handshake is complete; requests come over `secure`. */
  secure(socket: Socket): void;
  /** A request has come over it. */
  use(secure: Duplex): void;
  /** Closes those that are past the handshake and never carried a request. */
  closeUnused(): void;
}

interface Connection {
  readonly key: string;
  readonly socket: Socket;
  isSecure: boolean;
}

/** Address and port of the peer tell TCP connections apart; a TLS socket has them from the socket below it. */
const keyOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort}`;

export function boundConnections(maxConnections: number): Connections {
  /** Those that never carried a request, oldest first. */
  const unused = new Map<string, Connection>();
  /** Those that did, the one whose last request is longest ago first. */
  const used = new Map<string, Connection>();
  const bySecureSocket = new WeakMap<Duplex, Connection>();

  function evict(): void {
    const [[, victim] = []] = unused.size > 0 ? unused : used;
    if (victim === undefined) return;
    reportFailure('connection_evicted', { maxConnections, peer: victim.key });
    victim.socket.destroy();
    // Its `close` comes later, and the next connection perhaps before.
    unused.delete(victim.key);
    used.delete(victim.key);
  }

  return {
    open(socket) {
      if (unused.size + used.size >= maxConnections) evict();
      const connection = { key: keyOf(socket), socket, isSecure: false };
      unused.set(connection.key, connection);
      socket.once('close', () => {
        // The peer may have the same port again by now.
        for (const map of [unused, used]) {
          if (map.get(connection.key) === connection) map.delete(connection.key);
        }
      });
    },
    secure(socket) {
      const connection = unused.get(keyOf(socket));
      if (connection === undefined) return;
      connection.isSecure = true;
      bySecureSocket.set(socket, connection);
    },
    use(secure) {
      const connection = bySecureSocket.get(secure);
      if (connection === undefined) return;
      const wasThere = unused.delete(connection.key) || used.delete(connection.key);
      if (wasThere) used.set(connection.key, connection);
    },
    closeUnused() {
      for (const { socket, isSecure } of unused.values()) if (isSecure) socket.destroy();
    },
  };
}
