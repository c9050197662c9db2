import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { openCluster } from '../../src/kubernetes/client.ts';
import { containerPolicyDefinition } from '../../src/kubernetes/crd.ts';
import type { KubernetesObject } from '../../src/kubernetes/kinds.ts';
import { type Watched, type WatchTimes, watch } from '../../src/kubernetes/watches.ts';
import { type ApiProxy, startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements({ breakable: true });
/** 10,000 policies take half a minute to create, so a run with that many is made by hand. */
const policyCount = Number(process.env.D4C_GATE_TEST_POLICIES ?? 2_000);
const suffix = Date.now().toString(36);
let cluster: TestCluster;
let count = 0;

before(async () => {
  if (skip === undefined) cluster = await startCluster();
});
after(() => cluster?.close());

/** Creates a namespace, which is the cheapest object, and gives its name. */
async function makeNamespace(): Promise<string> {
  count += 1;
  const name = `watched-${suffix}-${count}`;
  await eventually('a namespace is created', async () => {
    try {
      return await cluster.client.create('namespaces', { metadata: { name } });
    } catch {
      return undefined;
    }
  });
  return name;
}

const sees = (watched: Watched<unknown>, name: string, limitMs: number) =>
  eventually(`the watch sees ${name}`, () => watched.get(name) !== undefined, limitMs);

/** A watch through a proxy that can misbehave, with short times. */
async function watchThroughProxy(
  times: Partial<WatchTimes>,
  body: (proxy: ApiProxy, watched: Watched<KubernetesObject>) => Promise<void>,
): Promise<void> {
  const proxy = await startApiProxy(cluster.kubeconfig);
  const client = await openCluster({ kubeconfig: proxy.kubeconfig });
  const watched = watch(client, 'namespaces', { times });
  try {
    assert.equal(await watched.ready, true);
    await body(proxy, watched);
  } finally {
    await watched.close();
    client.close();
    await proxy.close();
  }
}

test('tells of every object, then of every change', { skip, timeout: 60_000 }, async (t) => {
  const changes: string[] = [];
  const watched = watch(cluster.client, 'namespaces', {
    project: ({ metadata }) => `${metadata.name} ${metadata.labels?.colour ?? ''}`,
    onChange: (batch) => changes.push(...batch.map(({ type, object }) => `${type} ${object}`)),
  });
  t.after(() => watched.close());
  assert.equal(await watched.ready, true);
  assert.ok(changes.includes('added kube-system '));
  const name = await makeNamespace();
  await sees(watched, name, 5_000);
  await cluster.client.mergePatch('namespaces', { name }, { metadata: { labels: { colour: 'red' } } });
  await eventually('the label is seen', () => watched.get(name) === `${name} red`);
  assert.ok(changes.includes(`changed ${name} red`));
  await cluster.client.delete('namespaces', { name });
  await eventually('the deletion is seen', () => watched.get(name) === undefined, 20_000);
  assert.ok(changes.includes(`deleted ${name} red`));
});

/** Ready once the API server serves their kind. */
async function createPolicies(count: number): Promise<void> {
  await cluster.client.apply('customresourcedefinitions', containerPolicyDefinition());
  await eventually('policies are served', () => cluster.client.serves('d4c-gate.io/v1alpha1'), 20_000);
  let next = 0;
  const create = async () => {
    for (let index = next++; index < count; index = next++) await createPolicy(`policy-${index}`);
  };
  await Promise.all(Array.from({ length: 16 }, create));
}

const createPolicy = (name: string) => {
  const selectors = [{ name: 'programs', operation: ['exec'], kubernetesPodName: [`${name}-*`] }];
  const spec = { process: { selectors, responses: [{ match: ['programs'], actions: ['log'] }] } };
  return cluster.client.create('containerpolicies', { metadata: { name }, spec }, { deadlineMs: 30_000 });
};

test('three replicas go on after the API server was killed and came back, with thousands of policies', {
  skip,
  timeout: 240_000,
}, async (t) => {
  await createPolicies(policyCount);
  const clients = await Promise.all([1, 2, 3].map(() => openCluster({ kubeconfig: cluster.kubeconfig })));
  const all = clients.map((client) =>
    watch(client, 'containerpolicies', { project: ({ metadata }) => metadata.name }),
  );
  t.after(async () => {
    await Promise.all(all.map((watched) => watched.close()));
    for (const client of clients) client.close();
  });
  await Promise.all(all.map(({ ready }) => ready));
  cluster.signal('kube-apiserver', 'SIGKILL');
  await eventually(
    'the outage is noticed by all',
    () => all.every((watched) => watched.stalenessMs() > 5_000),
    10_000,
  );
  assert.deepEqual(
    all.map(({ size }) => size),
    [policyCount, policyCount, policyCount],
  );
  await cluster.restart('kube-apiserver');
  const returned = performance.now();
  await eventually(
    'a policy is created',
    () =>
      createPolicy('after-outage').then(
        () => true,
        () => undefined,
      ),
    20_000,
  );
  const tookMs = await Promise.all(
    all.map(async (watched) => {
      await sees(watched, 'after-outage', 30_000);
      return Math.round(performance.now() - returned);
    }),
  );
  t.diagnostic(`${policyCount} policies; a new one is known ${tookMs.join(', ')} ms after the return`);
  assert.ok(Math.max(...tookMs) < 30_000);
});

test('goes on after the API server hung and woke up', { skip, timeout: 120_000 }, async (t) => {
  const watched = watch(cluster.client, 'namespaces', {
    times: { pieceMs: 3_000, deadlineMs: 2_000, graceMs: 1_000 },
  });
  t.after(() => watched.close());
  await watched.ready;
  const before = watched.size;
  cluster.signal('kube-apiserver', 'SIGSTOP');
  await eventually('the hang is noticed', () => watched.stalenessMs() > 6_000, 20_000);
  assert.equal(watched.size, before);
  cluster.signal('kube-apiserver', 'SIGCONT');
  const name = await makeNamespace();
  await sees(watched, name, 30_000);
});

/* Each of these has a proxy, a client and namespaces of its own, and waits for most of its time. */
describe('through a proxy that misbehaves', { skip, concurrency: true }, () => {
  test(
    'after an outage it watches on from where it was, and lists once it has time',
    { timeout: 60_000 },
    () =>
      watchThroughProxy(
        { pieceMs: 2_000, longestPauseMs: 500, unhurriedListMs: 2_000 },
        async (proxy, watched) => {
          // The API server itself goes on, so its history is not gone.
          const outageAt = proxy.seen.length;
          proxy.misbehave = () => 'reset';
          proxy.endAnswers();
          await eventually('an outage', () => proxy.seen.length >= outageAt + 4, 10_000);
          const name = await makeNamespace();
          const backAt = proxy.seen.length;
          proxy.misbehave = () => undefined;
          await sees(watched, name, 5_000);
          const kinds = () => proxy.seen.slice(backAt).map((request) => (request.watch ? 'watch' : 'list'));
          assert.deepEqual(kinds(), ['watch']);
          await makeNamespace();
          await eventually('a list', () => kinds().includes('list'), 25_000);
        },
      ),
  );

  test(
    'a watch that falls silent for ever is dropped and resumed within 30 seconds',
    { timeout: 90_000 },
    () =>
      watchThroughProxy({}, async (proxy, watched) => {
        await eventually('the watch is open', () =>
          proxy.seen.some((request) => request.watch && request.isAnswered),
        );
        proxy.freezeAnswers();
        const frozen = performance.now();
        const name = await makeNamespace();
        await sees(watched, name, 30_000);
        assert.ok(performance.now() - frozen > 5_000, 'the proxy did not freeze the watch');
        const lists = proxy.seen.filter((request) => !request.watch);
        assert.equal(lists.length, 1, 'it resumes from where it was, without another list');
      }),
  );

  test(
    'history that is gone (410) leads to a list that also finds missed deletions',
    { timeout: 60_000 },
    () =>
      watchThroughProxy({ pieceMs: 2_000 }, async (proxy, watched) => {
        const doomed = await makeNamespace();
        await sees(watched, doomed, 10_000);
        proxy.misbehave = ({ watch: isWatch }) => (isWatch ? { status: 503 } : 'hang');
        await eventually('the watch is cut off', () => watched.stalenessMs() > 2_500, 10_000);
        await cluster.client.delete('namespaces', { name: doomed });
        await eventually(
          'it is gone',
          async () => (await cluster.client.find('namespaces', { name: doomed })) === undefined,
          20_000,
        );
        const expired = JSON.stringify({
          type: 'ERROR',
          object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' },
        });
        proxy.misbehave = ({ watch: isWatch }) =>
          isWatch ? { status: 200, body: `${expired}\n` } : undefined;
        await eventually('the missed deletion is found', () => watched.get(doomed) === undefined, 20_000);
      }),
  );

  test('a watch refused with status 410 leads to a list', { timeout: 60_000 }, () =>
    watchThroughProxy({ pieceMs: 1_000 }, async (proxy, watched) => {
      proxy.misbehave = ({ watch: isWatch }) => (isWatch ? { status: 410 } : undefined);
      const name = await makeNamespace();
      await sees(watched, name, 20_000);
    }),
  );

  test('waits as long as `Retry-After` asks', { timeout: 60_000 }, () =>
    watchThroughProxy({ pieceMs: 1_000, firstPauseMs: 20 }, async (proxy, watched) => {
      proxy.misbehave = () => ({ status: 429, retryAfter: '3' });
      await eventually('the first refusal', () => proxy.seen.length > 2, 10_000);
      const asked = proxy.seen.length;
      const name = await makeNamespace();
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      assert.ok(proxy.seen.length - asked <= 1, `${proxy.seen.length - asked} requests within 2 s`);
      proxy.misbehave = () => undefined;
      await sees(watched, name, 10_000);
    }),
  );

  test('errors of every sort slow it down and do not end it', { timeout: 60_000 }, () =>
    watchThroughProxy({ pieceMs: 1_000, longestPauseMs: 500, deadlineMs: 1_000 }, async (proxy, watched) => {
      const sorts = [
        { status: 500 },
        { status: 403 },
        { status: 404 },
        { status: 200, body: 'this is not JSON\n' },
        { status: 200, body: '{"type":"ADDED"}\n' },
        { status: 200, body: '' },
        'hang',
      ] as const;
      const size = watched.size;
      let next = 0;
      proxy.misbehave = () => sorts[next++ % sorts.length];
      await eventually('every sort was met twice', () => next > 2 * sorts.length, 40_000);
      assert.ok(watched.size >= size, 'no object was lost');
      proxy.misbehave = () => undefined;
      const name = await makeNamespace();
      await sees(watched, name, 10_000);
      assert.ok(next < 200, `${next} requests: it does not spin`);
    }),
  );

  test('lists again from time to time, and large lists page by page', { timeout: 60_000 }, () =>
    watchThroughProxy({ pieceMs: 1_000, relistMs: 2_000 }, async (proxy, watched) => {
      const lists = () => proxy.seen.filter((request) => !request.watch).length;
      await eventually('three lists', () => lists() >= 3, 20_000);
      const names = new Set<string | undefined>();
      let pages = 0;
      for await (const page of cluster.client.pages('namespaces', { pageSize: 2 })) {
        pages += 1;
        for (const { metadata } of page.items) names.add(metadata.name);
      }
      assert.ok(pages > 1);
      assert.deepEqual(
        watched
          .list()
          .map(({ metadata }) => metadata.name)
          .sort(),
        [...names].sort(),
      );
    }),
  );

  test('closing before the first list is complete settles `ready`', { timeout: 20_000 }, async () => {
    const proxy = await startApiProxy(cluster.kubeconfig);
    proxy.misbehave = () => 'hang';
    const client = await openCluster({ kubeconfig: proxy.kubeconfig });
    const watched = watch(client, 'namespaces');
    await eventually('it asks', () => proxy.seen.length > 0);
    const closed = watched.close();
    await proxy.close();
    await closed;
    assert.equal(await watched.ready, false);
  });
});
