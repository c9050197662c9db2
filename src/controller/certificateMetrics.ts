/** The metrics of the replica that keeps the certificates. What every replica serves is in `certificates/served.ts`. */

import { Counter, Gauge } from 'prom-client';
import { registry } from '../metrics.ts';

export const bundleInSync = new Gauge({
  name: 'd4c_gate_admission_ca_bundle_in_sync',
  help: '1 when a webhook configuration trusts exactly what it should, 0 when it does not or is not there; only on the leader.',
  labelNames: ['configuration'] as const,
  registers: [registry],
});

export const rotationsTotal = new Counter({
  name: 'd4c_gate_admission_cert_rotations_total',
  help: 'Certificates made, by kind (authority, leaf), the first ones included.',
  labelNames: ['kind'] as const,
  registers: [registry],
});
