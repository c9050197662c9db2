import assert from 'node:assert/strict';
import { mkdtempDisposable, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, type TestContext, test } from 'node:test';
import { openCluster } from '../../src/kubernetes/client.ts';
import { installDefinition } from '../../src/kubernetes/install.ts';
import {
  followPolicies,
  type PolicySource,
  type PolicySourceOptions,
} from '../../src/kubernetes/policySource.ts';
import type { Generation } from '../../src/sources/directory.ts';
import { startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements({ breakable: true });
const options = { skip, timeout: 60_000 };
const kind = 'containerpolicies';
let cluster: TestCluster;

before(async () => {
  if (skip !== undefined) return;
  cluster = await startCluster({ shared: true });
  await installDefinition(cluster.client);
});
after(() => cluster?.close());
afterEach(async () => {
  if (skip !== undefined) return;
  for (const { metadata } of await cluster.client.list(kind)) {
    await cluster.client.delete(kind, { name: metadata.name ?? '' });
  }
});

const specFor = (namespace: string, more: object = {}) => ({
  process: {
    selectors: [{ name: 'programs', operation: ['exec'], kubernetesNamespace: [namespace], ...more }],
    responses: [{ match: ['programs'], actions: ['log'] }],
  },
});
const create = (name: string, spec: unknown) => cluster.client.create(kind, { metadata: { name }, spec });
const edit = (name: string, spec: unknown) => cluster.client.mergePatch(kind, { name }, { spec });
const idsOf = ({ policies }: Generation): string => policies.map(({ id }) => id).join();

interface Followed {
  readonly source: PolicySource;
  readonly published: Generation[];
  refused: number;
}

async function follow(
  t: TestContext,
  more: PolicySourceOptions = {},
  client = cluster.client,
): Promise<Followed> {
  const published: Generation[] = [];
  const source = await followPolicies(client, {
    ...more,
    onGeneration: (generation) => published.push(generation),
    onRefused: (count) => {
      followed.refused = count;
    },
  });
  const followed: Followed = { source, published, refused: 0 };
  t.after(() => source.close());
  return followed;
}

async function directoryWith(t: TestContext, ...ids: string[]): Promise<string> {
  const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
  t.after(() => folder.remove());
  for (const id of ids) await writeFile(join(folder.path, `${id}.json`), JSON.stringify(specFor(id)));
  return folder.path;
}

test('the first generation is published whole, from both places', options, async (t) => {
  for (const name of ['b', 'c']) await create(name, specFor(name));
  const { source, published } = await follow(t, { directory: await directoryWith(t, 'a') });
  const { number, policies } = source.current();
  assert.deepEqual({ number, policies }, { number: 0, policies: [] });
  assert.equal(await source.ready, true);
  assert.deepEqual(
    published.map((generation) => `${generation.number}: ${idsOf(generation)}`),
    ['1: a,b,c'],
  );
});

test('a change compiles what has changed and nothing else', options, async (t) => {
  for (const name of ['a', 'b']) await create(name, specFor(name));
  const { source } = await follow(t);
  await source.ready;
  const [a, b] = source.current().policies;
  await edit('b', specFor('other'));
  await eventually('the edit is published', () => source.current().number === 2);
  assert.equal(source.current().policies[0], a);
  assert.notEqual(source.current().policies[1], b);
});

test(
  'labels and bad edits make no generation; a bad edit counts as refused until it is mended',
  options,
  async (t) => {
    await create('a', specFor('a'));
    const followed = await follow(t);
    const { source } = followed;
    await source.ready;
    await cluster.client.mergePatch(kind, { name: 'a' }, { metadata: { labels: { team: 'a' } } });
    await edit('a', specFor('a', { operation: ['created'] }));
    await eventually('it is refused', () => followed.refused === 1);
    assert.equal(source.current().number, 1);
    await edit('a', specFor('a', { operation: ['fork'] }));
    await eventually('it is mended', () => followed.refused === 0);
    assert.equal(source.current().number, 2);
  },
);

test('an ID belongs to the file that makes it, for as long as there is one', options, async (t) => {
  const directory = await directoryWith(t, 'both');
  await create('both', specFor('object'));
  const followed = await follow(t, { directory });
  const { source } = followed;
  await source.ready;
  const namespaceOf = () => JSON.stringify(source.current().policies[0]?.process.selectors[0]?.selector);
  assert.equal(idsOf(source.current()), 'both');
  assert.match(namespaceOf(), /"both"/);
  assert.deepEqual([followed.refused, source.hasFile('both')], [1, true]);
  await rm(join(directory, 'both.json'));
  await source.refresh();
  assert.match(namespaceOf(), /"object"/);
  assert.deepEqual([followed.refused, source.hasFile('both')], [0, false]);
});

test(
  'refreshing sees what a silent watch does not tell: new, edited and deleted policies',
  options,
  async (t) => {
    const proxy = await startApiProxy(cluster.kubeconfig);
    const client = await openCluster({ kubeconfig: proxy.kubeconfig });
    t.after(async () => {
      client.close();
      await proxy.close();
    });
    for (const name of ['deleted', 'edited']) await create(name, specFor(name));
    proxy.misbehave = ({ watch }) => (watch ? 'hang' : undefined);
    const { source } = await follow(t, {}, client);
    await source.ready;

    const edited = source.current().policies[1];
    await create('added', specFor('added'));
    await edit('edited', specFor('other'));
    await cluster.client.delete(kind, { name: 'deleted' });
    assert.equal(idsOf(source.current()), 'deleted,edited');
    await source.refresh();
    assert.equal(idsOf(source.current()), 'added,edited');
    assert.notEqual(source.current().policies[1], edited);
  },
);

test('refreshing while no API server answers keeps what there is', options, async (t) => {
  const proxy = await startApiProxy(cluster.kubeconfig);
  const client = await openCluster({ kubeconfig: proxy.kubeconfig });
  t.after(async () => {
    client.close();
    await proxy.close();
  });
  await create('a', specFor('a'));
  const { source } = await follow(t, {}, client);
  await source.ready;
  proxy.misbehave = () => 'hang';
  const started = performance.now();
  await source.refresh();
  assert.ok(performance.now() - started < 3_000);
  assert.equal(idsOf(source.current()), 'a');
});
