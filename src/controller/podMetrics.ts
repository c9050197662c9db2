/** The metrics of the replica that keeps the pods' annotations right. */

import { Counter, Gauge } from 'prom-client';
import { registry } from '../metrics.ts';

export const unannotatedPods = new Gauge({
  name: 'd4c_gate_admission_unannotated_pods',
  help: 'Pods in opted-in namespaces whose annotations are missing or differ right now; 0 on replicas that do not lead.',
  registers: [registry],
});

export const failOpenPodsTotal = new Counter({
  name: 'd4c_gate_admission_fail_open_pods_total',
  help: 'Pods that were created in opted-in namespaces while no webhook was asked about them.',
  registers: [registry],
});

export const podPatchesTotal = new Counter({
  name: 'd4c_gate_controller_pod_patches_total',
  help: 'Requests that mended annotations, by result: mended, conflict (tried again), undone (tried again), failed.',
  labelNames: ['result'] as const,
  registers: [registry],
});
