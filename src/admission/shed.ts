/**
 * Sheds load, so that memory stays bounded and nobody can take all places: past a limit of requests one more is refused
 * at once, before its body is read, and past a limit of bytes one whose body would be too much.
 *
 * A request whose body is late gives up its place to one that comes: the API server sends bodies at once, and whoever
 * sends them byte by byte must not keep others out.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Counter } from 'prom-client';
import { GateError } from '../errors.ts';
import { registry } from '../metrics.ts';

const shedTotal = new Counter({
  name: 'd4c_gate_admission_shed_total',
  help: 'Admission requests that were refused, since too many others were worked on.',
  registers: [registry],
});

/** After this a body is late. */
const patienceMs = 1_000;

export interface ShedLimits {
  /** Requests that are worked on at a time (default: 512). */
  readonly maxInFlight?: number | undefined;
  /** Bytes of their bodies together (default: 64 MiB). */
  readonly maxHeldBytes?: number | undefined;
}

export interface Shedder {
  /** An express handler that fails a request with OVERLOADED when there is no place for it. */
  admit(request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void;
  /** Takes further bytes of an admitted request into account, until its answer. @throws OVERLOADED */
  hold(request: IncomingMessage, bytes: number): void;
}

export function shedder({ maxInFlight = 512, maxHeldBytes = 64 << 20 }: ShedLimits = {}): Shedder {
  /** Those worked on, with the bytes that each holds. */
  const inFlight = new Map<IncomingMessage, number>();
  /** Those of them whose body has not arrived, with the time at which they came, oldest first. */
  const arriving = new Map<IncomingMessage, number>();
  let heldBytes = 0;

  function leave(request: IncomingMessage): void {
    heldBytes -= inFlight.get(request) ?? 0;
    inFlight.delete(request);
    arriving.delete(request);
  }

  function makePlace(): boolean {
    const [[oldest, since] = []] = arriving;
    if (oldest === undefined || since === undefined || performance.now() - since < patienceMs) return false;
    shedTotal.inc();
    leave(oldest);
    oldest.destroy();
    return true;
  }

  return {
    admit(request, response, next) {
      if (inFlight.size >= maxInFlight && !makePlace()) {
        shedTotal.inc();
        // The connection stays: another handshake would cost more than the answer that was not given.
        next(new GateError('OVERLOADED', `${maxInFlight} requests are worked on; try again`));
        return;
      }
      inFlight.set(request, 0);
      arriving.set(request, performance.now());
      request.once('end', () => arriving.delete(request));
      response.once('close', () => leave(request));
      next();
    },
    hold(request, bytes) {
      const held = inFlight.get(request);
      if (held === undefined) return;
      if (heldBytes + bytes > maxHeldBytes) {
        shedTotal.inc();
        throw new GateError('OVERLOADED', `requests of ${maxHeldBytes} bytes are worked on; try again`);
      }
      inFlight.set(request, held + bytes);
      heldBytes += bytes;
    },
  };
}
