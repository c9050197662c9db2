import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isMap, isScalar, parse, parseDocument } from 'yaml';
import {
  chart,
  type Helm,
  helmRequirements,
  helms,
  mergeValues,
  objectOf,
  type Rendered,
  refusal,
  render,
  type Values,
  valueAt,
  valuesAt,
} from '../support/helm.ts';
import { must } from '../support/programs.ts';
import { absent, present, rows, type ValueRow } from './values.ts';

const skip = helmRequirements;
const valuesText = readFileSync(join(chart, 'values.yaml'), 'utf8');
const schema: Schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8'));

interface Schema {
  readonly type?: string | string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
}

/** Paths of the schema's mappings with keys of their own, and of its leaves. */
function pathsOf({ properties = {} }: Schema, path: string[] = []): { mappings: string[]; leaves: string[] } {
  const found = Object.entries(properties).map(([key, child]) =>
    child.properties === undefined || ['resources'].includes(key)
      ? { mappings: [], leaves: [[...path, key].join('.')] }
      : pathsOf(child, [...path, key]),
  );
  return {
    mappings: [path.join('.'), ...found.flatMap(({ mappings }) => mappings)],
    leaves: found.flatMap(({ leaves }) => leaves).filter((leaf) => leaf !== 'global'),
  };
}

const { mappings, leaves } = pathsOf(schema);

test('every value has a row that says what it changes', () => {
  const covered = new Set(rows.map(({ path }) => path));
  assert.deepEqual(
    leaves.filter((path) => !covered.has(path)),
    [],
  );
});

test('values.yaml has every key of the schema, and the schema every key of values.yaml', () => {
  const values: Values = parse(valuesText);
  assert.deepEqual(
    leaves.filter((path) => valueAt(values, path) === undefined),
    [],
  );
  assert.deepEqual(unknownKeys(values, schema, ''), []);
});

function unknownKeys(values: Values, { properties }: Schema, path: string): string[] {
  if (properties === undefined) return [];
  return Object.entries(values).flatMap(([key, value]) => {
    const child = properties[key];
    if (child === undefined) return [`${path}${key}`];
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? unknownKeys(value as Values, child, `${path}${key}.`)
      : [];
  });
}

test('every value of values.yaml has a comment, its own or that of the standard fields of pods', () => {
  const standard = /\.(nodeSelector|tolerations|affinity|podAnnotations|podLabels)$/;
  const document = parseDocument(valuesText);
  const bare = leaves.filter(
    (path) => !standard.test(path) && commentOf(document.contents, path.split('.')) === '',
  );
  assert.deepEqual(bare, []);
});

/** The comment above a key; that of a mapping's first key stands above the mapping. */
function commentOf(node: unknown, [key = '', ...rest]: string[]): string {
  if (!isMap(node)) return '';
  const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key);
  if (pair === undefined || !isScalar(pair.key)) return '';
  if (rest.length > 0) return commentOf(pair.value, rest);
  return pair.key.commentBefore ?? (node.items[0] === pair ? node.commentBefore : '') ?? '';
}

for (const helm of helms) {
  test(`helm ${helm.version}: each value changes what it should and nothing has it before`, {
    skip,
  }, async () => {
    const before = new Map<string, Promise<Rendered[]>>();
    const defaults = (values: Values = {}) => {
      const key = JSON.stringify(values);
      const rendered = before.get(key) ?? render(helm, values);
      before.set(key, rendered);
      return rendered;
    };
    for (const row of rows) {
      const changed = await render(helm, mergeValues(row.with ?? {}, valuesAt(row.path, row.value)));
      assert.equal(seesIn(await defaults(row.with), row), false, `${row.path}: already so by default`);
      assert.equal(seesIn(changed, row), true, `${row.path}: ${row.object} ${row.at ?? ''} did not change`);
    }
  });

  test(`helm ${helm.version}: a key that is not in the schema is refused with its path`, {
    skip,
  }, async () => {
    for (const path of mappings) {
      const said = await refusal(helm, valuesAt(path === '' ? 'replicaz' : `${path}.replicaz`, 1));
      const place = `/${path.replaceAll('.', '/')}`.replace(/^\/$/, '');
      assert.ok(said.includes(`at '${place}'`) && said.includes("'replicaz'"), `${path}: ${said}`);
    }
  });

  test(`helm ${helm.version}: a value of the wrong type is refused with its path`, { skip }, async () => {
    for (const path of leaves) {
      const said = await refusal(helm, valuesAt(path, wrongFor(path)));
      assert.ok(said.includes(`at '/${path.replaceAll('.', '/')}`), `${path}: ${said}`);
    }
  });

  test(`helm ${helm.version}: values that contradict each other are refused by name`, { skip }, async () => {
    for (const [values, ...words] of contradictions) {
      const said = await refusal(helm, values);
      for (const word of words) assert.ok(said.includes(word), `${word} is not in: ${said}`);
    }
  });

  test(`helm ${helm.version}: labels that a selector needs are the chart's, whatever values add`, {
    skip,
  }, async () => {
    const added = { podLabels: { 'app.kubernetes.io/name': 'mine', team: 'security' } };
    for (const object of await render(helm, { webhook: added, agent: added, keeper: added })) {
      if (object.kind !== 'Deployment' && object.kind !== 'DaemonSet') continue;
      const labels = valueAt(object, 'spec.template.metadata.labels') as Record<string, string>;
      const selected = valueAt(object, 'spec.selector.matchLabels') as Record<string, string>;
      assert.deepEqual({ ...labels, ...selected }, labels, object.metadata.name);
      assert.equal(labels.team, 'security');
    }
  });

  test(`helm ${helm.version}: lint --strict has nothing to say`, { skip }, async () => {
    for (const values of ['values.yaml', 'values-ha.yaml']) {
      await must(helm.program, ['lint', '--strict', chart, '--values', join(chart, values)]);
    }
  });

  test(`helm ${helm.version}: a cluster that is too old is refused`, { skip }, async () => {
    assert.match(await refusal(helm, {}, '--kube-version=1.29.9'), /v1\.29\.9: d4c-gate needs 1\.30/);
    await render(helm, {}, '--kube-version=1.30.0');
  });

  test(`helm ${helm.version}: numbers outside of their range are refused`, { skip }, async () => {
    await refusesAll(helm, outOfRange);
  });
}

function seesIn(objects: readonly Rendered[], { object, at, is }: ValueRow): boolean {
  if (is === absent || is === present) {
    const isThere = objects.some(({ kind, metadata }) => `${kind}/${metadata.name}` === object);
    return isThere === (is === present);
  }
  const found = valueAt(objectOf(objects, object), at ?? '');
  if (typeof is === 'object' && is !== null && 'argument' in is) {
    return Array.isArray(found) && found.includes(is.argument);
  }
  try {
    assert.deepEqual(found, is);
    return true;
  } catch {
    return false;
  }
}

function wrongFor(path: string): unknown {
  const value = valueAt(parse(valuesText), path);
  return Array.isArray(value) || typeof value === 'object' ? 'text' : ['list'];
}

async function refusesAll(helm: Helm, wrong: readonly [path: string, value: unknown][]): Promise<void> {
  for (const [path, value] of wrong) {
    const said = await refusal(helm, valuesAt(path, value));
    assert.ok(said.includes(`at '/${path.replaceAll('.', '/')}`), `${path}: ${said}`);
  }
}

const outOfRange: readonly [string, unknown][] = [
  ['webhook.replicas', 0],
  ['webhook.replicas', 1.5],
  ['webhook.timeoutSeconds', 31],
  ['webhook.maxInFlight', 0],
  ['webhook.excludedNamespaces', ['Not-A-Name']],
  ['agent.holdMs', 60_001],
  ['agent.silenceMs', 499],
  ['agent.silenceMs', 60_001],
  ['agent.deadlineMs', -1],
  ['agent.deadlineMs', 60_001],
  ['agent.maxSurge', 0],
  ['agent.maxSurge', '0%'],
  ['agent.containerdSockets', ['run/relative.sock']],
  ['agent.dataStreamNamespace', 'my-team'],
  ['image.digest', 'sha256:abc'],
  ['image.tag', 'a tag'],
  ['policies.defaults', ['strict']],
  ['networkPolicy.apiServerCidrs', ['10.0.0.1']],
  ['networkPolicy.apiServerPorts', []],
  ['networkPolicy.apiServerPorts', [65_536]],
  ['metrics.serviceMonitor.interval', '30'],
];

const contradictions: readonly [Values, ...string[]][] = [
  [{ webhook: { enabled: false }, agent: { enabled: false } }, 'webhook.enabled', 'agent.enabled'],
  [{ webhook: { failurePolicy: 'Fail', replicas: 1 } }, 'webhook.failurePolicy', 'webhook.replicas'],
  [
    { webhook: { clientAuthentication: { caBundle: 'garbage', names: ['a'] } } },
    'webhook.clientAuthentication.caBundle',
  ],
  [
    { webhook: { clientAuthentication: { caBundle: '-----BEGIN CERTIFICATE-----\n' } } },
    'webhook.clientAuthentication.caBundle',
    'names',
  ],
  [{ webhook: { clientAuthentication: { names: ['a'] } } }, 'webhook.clientAuthentication.names', 'caBundle'],
  [
    { webhook: { preStopSeconds: 20 } },
    'webhook.terminationGracePeriodSeconds',
    'webhook.preStopSeconds (20)',
  ],
  [
    { webhook: { replicas: 2, podDisruptionBudget: { maxUnavailable: 2 } } },
    'webhook.podDisruptionBudget.maxUnavailable',
    'webhook.replicas (2)',
  ],
  [{ certificates: { mode: 'provided' } }, 'certificates.provided.secretName'],
  [
    { certificates: { mode: 'provided', provided: { secretName: 'a', caBundle: 'b' } } },
    'certificates.provided.caBundle',
  ],
  [{ certificates: { provided: { secretName: 'a' } } }, 'certificates.provided', 'certificates.mode is self'],
  [
    { certificates: { certManager: { issuerRef: { name: 'a' } } } },
    'certificates.certManager.issuerRef.name',
    'certificates.mode is self',
  ],
  [{ crds: { install: false, keep: true } }, 'crds.keep', 'crds.install'],
  [{ agent: { hostNetwork: false }, keeper: { netAdmin: true } }, 'keeper.netAdmin', 'agent.hostNetwork'],
  [{ networkPolicy: { metricsFrom: [{}] } }, 'networkPolicy.metricsFrom', 'networkPolicy.apiServerCidrs'],
  [
    { webhook: { enabled: false }, metrics: { prometheusRule: { enabled: true } } },
    'metrics.prometheusRule.enabled',
    'webhook.enabled',
  ],
];
