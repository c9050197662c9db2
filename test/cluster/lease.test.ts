import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { openCluster } from '../../src/kubernetes/client.ts';
import { type Election, type ElectionTimes, elect } from '../../src/kubernetes/lease.ts';
import { startApiProxy } from '../support/api-proxy.ts';
import { clusterRequirements, startCluster, type TestCluster } from '../support/cluster.ts';
import { eventually } from '../support/programs.ts';

const skip = clusterRequirements();
const times: ElectionTimes = { leaseMs: 3_000, renewDeadlineMs: 2_000, retryMs: 300 };
const namespace = 'default';
const suffix = Date.now().toString(36);
let cluster: TestCluster;

before(async () => {
  if (skip === undefined) cluster = await startCluster({ shared: true });
});
after(() => cluster?.close());

interface Candidate {
  readonly election: Election;
  readonly story: string[];
  term: AbortSignal | undefined;
}

function candidate(t: TestContext, name: string, identity: string, client = cluster.client): Candidate {
  const story: string[] = [];
  const made: { story: string[]; term: AbortSignal | undefined } = { story, term: undefined };
  const election = elect(client, {
    namespace,
    name,
    identity,
    times,
    onGained: (term) => {
      story.push('gained');
      made.term = term;
    },
    onLost: () => story.push('lost'),
  });
  t.after(() => election.close());
  return Object.assign(made, { election });
}

const leaseOf = (name: string) => cluster.client.get('leases', { name, namespace });

test('one of two candidates leads, and gives the Lease back when it closes', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const name = `handover-${suffix}`;
  const [a, b] = [candidate(t, name, 'a'), candidate(t, name, 'b')];
  await eventually('one leads', () => a.election.isLeader || b.election.isLeader);
  const [leader, other] = a.election.isLeader ? [a, b] : [b, a];
  assert.equal(other.election.isLeader, false);
  await leader.election.close();
  await leader.election.close();
  const closedAt = performance.now();
  assert.equal(leader.election.isLeader, false);
  assert.equal(leader.term?.aborted, true);
  assert.deepEqual(leader.story, ['gained', 'lost']);
  await eventually('the other leads', () => other.election.isLeader);
  assert.ok(performance.now() - closedAt < 2_500, 'it did not wait for the Lease to expire');
  assert.ok(((await leaseOf(name)).spec?.leaseTransitions ?? 0) >= 1);
  await other.election.close();
  assert.equal((await leaseOf(name)).spec?.holderIdentity, '');
});

test('a leader cut off from the API server stops before another begins, and goes on trying', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const name = `outage-${suffix}`;
  const proxy = await startApiProxy(cluster.kubeconfig);
  t.after(() => proxy.close());
  const client = await openCluster({ kubeconfig: proxy.kubeconfig });
  t.after(() => client.close());
  const a = candidate(t, name, 'a', client);
  await eventually('a leads', () => a.election.isLeader);
  const b = candidate(t, name, 'b');
  proxy.misbehave = () => 'hang';
  let bothLed = false;
  await eventually(
    'b leads',
    () => {
      bothLed ||= a.election.isLeader && b.election.isLeader;
      return b.election.isLeader;
    },
    20_000,
  );
  assert.equal(bothLed, false);
  assert.deepEqual(a.story, ['gained', 'lost']);
  proxy.misbehave = () => undefined;
  await b.election.close();
  await eventually('a leads again', () => a.election.isLeader, 10_000);
  assert.deepEqual(a.story, ['gained', 'lost', 'gained']);
  await a.election.close();
});

test("a holder's clock is never believed", { skip, timeout: 60_000 }, async (t) => {
  for (const [sort, renewTime] of [
    ['fast', '2099-01-01T00:00:00.000000Z'],
    ['slow', '1999-01-01T00:00:00.000000Z'],
  ]) {
    const name = `skew-${sort}-${suffix}`;
    await cluster.client.create('leases', {
      metadata: { name, namespace },
      spec: { holderIdentity: 'gone', leaseDurationSeconds: 2, renewTime, acquireTime: renewTime },
    });
    const started = performance.now();
    const a = candidate(t, name, 'a');
    await eventually('a takes over', () => a.election.isLeader, 10_000);
    const tookMs = performance.now() - started;
    assert.ok(tookMs >= 2_000 && tookMs < 5_000, `${sort}: took over after ${Math.round(tookMs)} ms`);
    await a.election.close();
  }
});

test('a Lease that another took by force is lost at once', { skip, timeout: 60_000 }, async (t) => {
  const name = `force-${suffix}`;
  const a = candidate(t, name, 'a');
  await eventually('a leads', () => a.election.isLeader);
  await cluster.client.mergePatch('leases', { name, namespace }, { spec: { holderIdentity: 'thief' } });
  await eventually('a has lost', () => a.story.includes('lost'), 3_000);
  assert.equal(a.election.isLeader, false);
  await a.election.close();
  assert.equal((await leaseOf(name)).spec?.holderIdentity, 'thief');
});

test('a Lease that was deleted is made again by its holder', { skip, timeout: 60_000 }, async (t) => {
  const name = `deleted-${suffix}`;
  const a = candidate(t, name, 'a');
  await eventually('a leads', () => a.election.isLeader);
  await cluster.client.delete('leases', { name, namespace });
  await eventually('it is there again', () => cluster.client.find('leases', { name, namespace }));
  assert.equal(a.election.isLeader, true);
  assert.deepEqual(a.story, ['gained']);
  await a.election.close();
});
