import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { crdText } from '../../src/cli/crd.ts';
import { containerPolicyDefinition, definitionName } from '../../src/kubernetes/crd.ts';
import { selectorKeys } from '../../src/policy/conditions.ts';

interface Schema {
  type?: string;
  description?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
}

const chartFile = `charts/d4c-gate/files/${definitionName}.yaml`;

function specSchema(): Schema {
  const { versions } = containerPolicyDefinition().spec as {
    versions: { schema: { openAPIV3Schema: Schema } }[];
  };
  return versions[0]?.schema.openAPIV3Schema.properties?.spec ?? {};
}

function walk(schema: Schema, path: string, visit: (schema: Schema, path: string) => void): void {
  visit(schema, path);
  if (schema.items) walk(schema.items, `${path}[]`, visit);
  for (const [key, child] of Object.entries(schema.properties ?? {})) walk(child, `${path}.${key}`, visit);
}

test('the chart ships the definition that `install` applies', () => {
  const text = readFileSync(join(import.meta.dirname, '../..', chartFile), 'utf8');
  assert.equal(text, crdText(), `run: npm run d4c-gate -- crd > ${chartFile}`);
  assert.deepEqual(parse(text), containerPolicyDefinition());
});

test('no mapping of a policy drops keys that it does not know', () => {
  const drops: string[] = [];
  walk(specSchema(), 'spec', (schema, path) => {
    if (schema.type === 'object' && schema['x-kubernetes-preserve-unknown-fields'] !== true) drops.push(path);
  });
  assert.deepEqual(drops, []);
});

test('every key of the language is in the schema, with a description', () => {
  for (const section of ['file', 'process'] as const) {
    const selector = specSchema().properties?.[section]?.properties?.selectors?.items;
    assert.deepEqual(Object.keys(selector?.properties ?? {}), selectorKeys(section));
  }
  walk(specSchema(), 'spec', (schema, path) => {
    if (!path.endsWith('[]')) assert.ok((schema.description ?? '').length > 5, path);
  });
});

test('the schema decides on nothing but types, so that `/policies` reports every fault at once', () => {
  const allowed = ['type', 'description', 'properties', 'items', 'x-kubernetes-preserve-unknown-fields'];
  walk(specSchema(), 'spec', (schema, path) => {
    const others = Object.keys(schema).filter((key) => !allowed.includes(key));
    assert.deepEqual(others, [], path);
  });
});
