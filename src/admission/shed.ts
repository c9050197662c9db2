/** Sheds load: past a limit a request is refused at once, before its body is read, so that memory stays bounded. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { Counter } from 'prom-client';
import { GateError } from '../errors.ts';
import { registry } from '../metrics.ts';

const shedTotal = new Counter({
  name: 'd4c_gate_admission_shed_total',
  help: 'Admission requests that were refused at once, since too many others were worked on.',
  registers: [registry],
});

/** An express handler that lets `maxInFlight` requests through at a time (default: 512) and fails others with OVERLOADED. */
export function shedder(
  maxInFlight = 512,
): (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void {
  let inFlight = 0;
  return (_request, response, next) => {
    if (inFlight >= maxInFlight) {
      shedTotal.inc();
      // The body is not read, so nothing else can follow on this connection.
      response.setHeader('connection', 'close');
      next(new GateError('OVERLOADED', `${maxInFlight} requests are worked on; try again`));
      return;
    }
    inFlight += 1;
    response.once('close', () => {
      inFlight -= 1;
    });
    next();
  };
}
