/** A definition of openreports.io/v1alpha1 for tests: as much of that public API as d4c-gate writes. */

import type { Cluster } from '../../src/kubernetes/client.ts';
import type { CustomResourceDefinition } from '../../src/kubernetes/kinds.ts';
import { eventually } from './programs.ts';

/** The field names of openreports.io/v1alpha1 that are written, and nothing else of it. */
export async function installReports(client: Cluster): Promise<void> {
  const text = { type: 'string' };
  const texts = { type: 'object', additionalProperties: text };
  const outcomes = ['pass', 'fail', 'warn', 'error', 'skip'];
  const result = {
    type: 'object',
    required: ['policy'],
    properties: {
      ...{ source: text, policy: text, category: text, message: text, properties: texts },
      result: { type: 'string', enum: outcomes },
    },
  };
  const counts = Object.fromEntries(outcomes.map((outcome) => [outcome, { type: 'integer' }]));
  const schema = {
    type: 'object',
    properties: {
      source: text,
      scope: { type: 'object', properties: { apiVersion: text, kind: text, name: text } },
      summary: { type: 'object', properties: counts },
      results: { type: 'array', items: result },
    },
  };
  const definition: CustomResourceDefinition = {
    metadata: { name: 'reports.openreports.io' },
    spec: {
      group: 'openreports.io',
      scope: 'Namespaced',
      names: { kind: 'Report', listKind: 'ReportList', plural: 'reports', singular: 'report' },
      versions: [{ name: 'v1alpha1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
  await client.create('customresourcedefinitions', definition);
  await eventually('reports are served', () => client.serves('openreports.io/v1alpha1'), 20_000);
}
