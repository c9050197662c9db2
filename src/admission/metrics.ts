/** The metrics of admission. Every label takes its values from a fixed set: requests cannot make new ones. */

import { Counter, Gauge, Histogram } from 'prom-client';
import { registry } from '../metrics.ts';
import type { Review, ReviewAnswer } from './review.ts';

const operations = new Set(['CREATE', 'UPDATE', 'DELETE', 'CONNECT']);
const resources = new Set([
  'pods',
  'pods/attach',
  'pods/ephemeralcontainers',
  'pods/exec',
  'pods/resize',
  'namespaces',
  'containerpolicies.d4c-gate.io',
  'cronjobs.batch',
  'daemonsets.apps',
  'deployments.apps',
  'jobs.batch',
  'replicasets.apps',
  'statefulsets.apps',
]);

const requestsTotal = new Counter({
  name: 'd4c_gate_admission_requests_total',
  help: 'Admission requests by operation, resource, decision (allowed, patched, observed, denied, error) and dry run.',
  labelNames: ['operation', 'resource', 'decision', 'dry_run'] as const,
  registers: [registry],
});

const durationSeconds = new Histogram({
  name: 'd4c_gate_admission_duration_seconds',
  help: 'Time from the headers of an admission request to its answer.',
  labelNames: ['hook'] as const,
  buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10],
  registers: [registry],
});

/** `published`: in the current generation; `refused`: with faults in the state of the source that was last refused. */
export const policiesGauge = new Gauge({
  name: 'd4c_gate_admission_policies',
  help: 'Policies by state: published (in use) or refused (with faults, while an older generation stays in use).',
  labelNames: ['state'] as const,
  registers: [registry],
});

/** Counts one request. `review` and `answer` are absent when it could not be judged. */
export function countRequest(hook: string, startedAt: number, review?: Review, answer?: ReviewAnswer): void {
  requestsTotal.inc({
    operation: review !== undefined && operations.has(review.operation) ? review.operation : 'other',
    resource: review !== undefined && resources.has(review.resource) ? review.resource : 'other',
    decision: decisionOf(answer),
    dry_run: String(review?.dryRun ?? false),
  });
  durationSeconds.observe({ hook }, (performance.now() - startedAt) / 1_000);
}

/** One word for an answer. */
export function decisionOf(
  answer: ReviewAnswer | undefined,
): 'allowed' | 'patched' | 'observed' | 'denied' | 'error' {
  if (answer === undefined) return 'error';
  if (!answer.allowed) return 'denied';
  if (answer.observed !== undefined) return 'observed';
  return answer.patch !== undefined && answer.patch.length > 0 ? 'patched' : 'allowed';
}
