import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openCluster } from '../../src/kubernetes/client.ts';
import type { KubernetesObject } from '../../src/kubernetes/kinds.ts';
import { type Watched, type WatchTimes, watch } from '../../src/kubernetes/watches.ts';
import { type ApiProxy, startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements({ breakable: true });
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

test('goes on after the API server was killed and came back, with all objects meanwhile', {
  skip,
  timeout: 150_000,
}, async (t) => {
  const watched = watch(cluster.client, 'namespaces');
  t.after(() => watched.close());
  await watched.ready;
  const before = watched.size;
  cluster.signal('kube-apiserver', 'SIGKILL');
  await eventually('the outage is noticed', () => watched.stalenessMs() > 3_000, 10_000);
  assert.equal(watched.size, before);
  await cluster.restart('kube-apiserver');
  const name = await makeNamespace();
  await sees(watched, name, 30_000);
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

test(
  'a watch that falls silent for ever is dropped and resumed within 30 seconds',
  { skip, timeout: 90_000 },
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
  { skip, timeout: 60_000 },
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
      proxy.misbehave = ({ watch: isWatch }) => (isWatch ? { status: 200, body: `${expired}\n` } : undefined);
      await eventually('the missed deletion is found', () => watched.get(doomed) === undefined, 20_000);
    }),
);

test('a watch refused with status 410 leads to a list', { skip, timeout: 60_000 }, () =>
  watchThroughProxy({ pieceMs: 1_000 }, async (proxy, watched) => {
    proxy.misbehave = ({ watch: isWatch }) => (isWatch ? { status: 410 } : undefined);
    const name = await makeNamespace();
    await sees(watched, name, 20_000);
  }),
);

test('waits as long as `Retry-After` asks', { skip, timeout: 60_000 }, () =>
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

test('errors of every sort slow it down and do not end it', { skip, timeout: 60_000 }, () =>
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

test('lists again from time to time, and large lists page by page', { skip, timeout: 60_000 }, () =>
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

test('closing before the first list is complete settles `ready`', { skip, timeout: 20_000 }, async () => {
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
