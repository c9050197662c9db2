/** The one registry of Prometheus metrics, and the metrics that no single folder owns. */

import { Counter, Registry } from 'prom-client';
import { failureTotals } from './failures.ts';

export const registry = new Registry();

export const failuresTotal = new Counter({
  name: 'd4c_gate_failures_total',
  help: 'Things lost or late, by kind; docs/errors.md says what each means.',
  labelNames: ['failure'] as const,
  registers: [registry],
  collect() {
    this.reset();
    for (const [failure, count] of failureTotals) this.inc({ failure }, count);
  },
});
