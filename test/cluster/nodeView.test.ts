/** What an agent knows of its cluster, on a real API server that comes and goes. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { KubernetesObject, Pod } from '../../src/kubernetes/kinds.ts';
import { type NodeView, watchNode } from '../../src/kubernetes/nodeView.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { startDaemon } from '../support/daemon.ts';
import { eventually, isInstalled, must } from '../support/programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
const skip = clusterRequirements({ breakable: true });
const times = { pieceMs: 2_000, graceMs: 1_000, deadlineMs: 1_000, longestPauseMs: 300 };

describe('a node’s view of its cluster', { skip }, () => {
  let cluster: TestCluster;
  let view: NodeView;
  const changes: string[] = [];

  const namespace = (name: string, labels: Record<string, string> = {}): KubernetesObject => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  });
  const pod = (name: string, nodeName: string): Pod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', labels: { app: name } },
    spec: { nodeName, containers: [{ name: 'main', image: 'registry.example/web:1' }] },
  });

  before(async () => {
    cluster = await startCluster({ shared: true });
    await cluster.client.create('namespaces', namespace('shop', { 'd4c-gate.io/mode': 'enforce' }));
    await cluster.client.create('namespaces', namespace('plain', { 'd4c-gate.io/mode': 'nonsense' }));
    await eventually(
      'its service account is made',
      async () => (await cluster.kubectl(['get', 'serviceaccount', 'default', '-n', 'shop'])).exitCode === 0,
    );
    await cluster.client.create('pods', pod('here', 'node-a'));
    await cluster.client.create('pods', pod('elsewhere', 'node-b'));
    view = watchNode(cluster.client, {
      nodeName: 'node-a',
      neverOptIn: new Set(['kube-system']),
      onChange: (concerned) => changes.push(`${concerned?.namespace ?? 'all'}/${concerned?.podName ?? ''}`),
      times,
    });
  });
  after(async () => {
    await view?.close();
    await cluster?.close();
  });

  const told = (what: string) => eventually(`it is told of ${what}`, () => changes.includes(what), 10_000);

  test('nothing is known before the first list, and all of it afterwards', async () => {
    assert.deepEqual([view.modeOf('shop'), view.modeOf('kube-system')], [undefined, null]);
    assert.equal(await view.ready, true);
    assert.deepEqual(['shop', 'plain', 'kube-system', 'unheard-of'].map(view.modeOf), [
      'enforce',
      null,
      null,
      undefined,
    ]);
    assert.deepEqual(
      view.pods().map(({ name }) => name),
      ['here'],
    );
    const { metadata } = await cluster.client.get('namespaces', { name: 'kube-system' });
    assert.equal(view.clusterId(), metadata.uid);
    assert.ok(changes.includes('all/'));
  });

  test('a pod is known by its UID, not by a name that was used before', async () => {
    const [here] = view.pods();
    assert.equal(view.podOf({ namespace: 'shop', name: 'here', uid: here?.uid })?.uid, here?.uid);
    assert.equal(view.podOf({ namespace: 'shop', name: 'here', uid: 'another' }), undefined);
  });

  test('labels of namespaces and pods are followed, and nothing else calls for a new look', async () => {
    changes.length = 0;
    const shop = { name: 'shop' };
    const here = { name: 'here', namespace: 'shop' };
    await cluster.client.mergePatch('pods', here, { metadata: { annotations: { note: 'x' } } });
    await cluster.client.mergePatch('namespaces', shop, { metadata: { labels: { other: 'x' } } });
    await cluster.client.mergePatch('pods', here, { metadata: { labels: { stage: 'canary' } } });
    await told('shop/here');
    await cluster.client.mergePatch('namespaces', shop, {
      metadata: { labels: { 'd4c-gate.io/mode': 'observe' } },
    });
    await told('shop/');
    assert.equal(view.modeOf('shop'), 'observe');
    assert.equal(view.pods()[0]?.labels.get('stage'), 'canary');
    assert.deepEqual(changes, ['shop/here', 'shop/']);
  });

  test('what was known stays while the API server is away, and is brought up to date after it', async () => {
    cluster.signal('kube-apiserver', 'SIGKILL');
    await eventually(
      'it is away',
      async () => (await cluster.kubectl(['get', '--raw', '/readyz'], { limitMs: 3_000 })).exitCode !== 0,
    );
    assert.deepEqual([view.modeOf('shop'), view.pods().length], ['observe', 1]);
    await cluster.restart('kube-apiserver');
    await cluster.client.mergePatch(
      'namespaces',
      { name: 'shop' },
      {
        metadata: { labels: { 'd4c-gate.io/mode': null } },
      },
    );
    await eventually('it is followed again', () => view.modeOf('shop') === null, 20_000);
  });

  test('an agent whose gate does not open stays up, is not ready, and tells why beside its node', {
    skip: process.getuid?.() !== 0 && 'needs root, to give up its capabilities',
  }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-ungated-'));
    t.after(() => rm(folder, { recursive: true }));
    const health = join(folder, 'health');
    const without = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, main];
    const flags = ['node', '--kubeconfig', cluster.kubeconfig, '--keeper=off', '--health-file', health];
    const agent = await startDaemon('setpriv', [...without, ...flags], /nothing is gated on this node/);
    t.after(agent.stop);
    const { isReady } = await eventually('its health says why, too', async () => {
      const said = JSON.parse(await readFile(health, 'utf8'));
      return /nothing is gated on this node: .*not permitted.*\(GATE_NOT_PERMITTED\)$/.test(said.reason)
        ? said
        : undefined;
    });
    assert.equal(isReady, false);
    const event = await eventually(
      'the Event is written',
      async () =>
        (await cluster.client.list('events', { namespace: 'default' })).find(
          (each) => each.reason === 'NotEnforceable',
        ),
      10_000,
    );
    assert.equal(event.regarding?.kind, 'Node');
    assert.equal(event.reportingController, 'd4c-gate.io/agent');
    assert.equal(await agent.stop(), 0);
  });

  test('an agent that can refuse nothing is not ready, and tells why beside its node', {
    skip: (process.getuid?.() !== 0 || !isInstalled('gcc')) && 'needs root, to open a gate, and gcc',
  }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-unenforceable-'));
    t.after(() => rm(folder, { recursive: true }));
    const health = join(folder, 'health');
    const withoutCalls = join(folder, 'withoutCalls');
    const source = join(import.meta.dirname, '../support/withoutCalls.c');
    await must('gcc', ['-O1', '-o', withoutCalls, source]);
    const without = ['permission', process.execPath, main];
    const flags = ['node', '--kubeconfig', cluster.kubeconfig, '--keeper=off', '--health-file', health];
    const agent = await startDaemon(withoutCalls, [...without, ...flags], /"msg":"gate open"/);
    t.after(agent.stop);
    const what =
      /^no rule that blocks is enforceable on this node, what happens is only reported: .*nvalid argument/;
    await eventually('the Event is written', async () => {
      const all = await cluster.client.list('events', { namespace: 'default' });
      return all.some(({ reason, note }) => reason === 'NotEnforceable' && what.test(note ?? ''));
    });
    const { isReady, reason } = JSON.parse(await readFile(health, 'utf8'));
    assert.equal(isReady, false);
    assert.match(reason, what);
    assert.equal(await agent.stop(), 0);
  });
});
