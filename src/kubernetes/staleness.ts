/** How old our picture of the cluster may be, per kind: the metric to alert on. */

import { Gauge } from 'prom-client';
import { registry } from '../metrics.ts';

export interface Staleness {
  /** The server said something about this kind just now. */
  heard(): void;
  /** Milliseconds since then, or since tracking began. */
  ms(): number;
  /** Takes it out of the metric. */
  forget(): void;
}

/** When each open watch was last heard of, on the monotonic clock. */
const lastHeard = new Set<{ readonly kind: string; at: number }>();

new Gauge({
  name: 'd4c_gate_watch_staleness_seconds',
  help: 'Seconds since the API server last said anything about this kind; normally below 25.',
  labelNames: ['kind'] as const,
  registers: [registry],
  collect() {
    this.reset();
    const oldest = new Map<string, number>();
    for (const { kind, at } of lastHeard) oldest.set(kind, Math.min(at, oldest.get(kind) ?? at));
    for (const [kind, at] of oldest) this.set({ kind }, (performance.now() - at) / 1000);
  },
});

/** Counts from now. */
export function trackStaleness(kind: string): Staleness {
  const entry = { kind, at: performance.now() };
  lastHeard.add(entry);
  return {
    heard() {
      entry.at = performance.now();
    },
    ms: () => performance.now() - entry.at,
    forget() {
      lastHeard.delete(entry);
    },
  };
}
