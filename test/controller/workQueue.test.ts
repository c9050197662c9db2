import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Again, openQueue } from '../../src/controller/workQueue.ts';
import { KubernetesError } from '../../src/kubernetes/client.ts';
import { makePace } from '../../src/kubernetes/pace.ts';
import { failuresTotal } from '../../src/metrics.ts';
import { eventually } from '../support/programs.ts';

function queueOf(
  work: (key: string, turn: () => Promise<void>) => Promise<Again>,
  { workers = 4, term = new AbortController().signal, perSecond = 10_000 } = {},
) {
  return openQueue({ workers, pace: makePace(perSecond), term, failure: 'pod_not_mended', work });
}

const failures = async () =>
  (await failuresTotal.get()).values.find(({ labels }) => labels.failure === 'pod_not_mended')?.value ?? 0;

test('a key is never worked on twice at once, and once more when it is added meanwhile', async () => {
  let running = 0;
  let runs = 0;
  const gate = Promise.withResolvers<void>();
  const queue = queueOf(async () => {
    running += 1;
    assert.equal(running, 1);
    runs += 1;
    await gate.promise;
    running -= 1;
    return 'done';
  });
  queue.add('a');
  queue.add('a');
  queue.add('a');
  gate.resolve();
  await eventually('the queue is empty', () => queue.size === 0);
  assert.equal(runs, 2);
});

test('at most so many keys are worked on at the same time', async () => {
  let [running, most] = [0, 0];
  const queue = queueOf(
    async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(2);
      running -= 1;
      return 'done';
    },
    { workers: 3 },
  );
  for (let index = 0; index < 20; index += 1) queue.add(String(index));
  await eventually('the queue is empty', () => queue.size === 0);
  assert.equal(most, 3);
});

test('a conflict is tried again and not counted; a refusal is tried again and counted; what is gone is done', async () => {
  const tries = new Map<string, number>();
  const before = await failures();
  const queue = queueOf(async (key) => {
    const count = (tries.get(key) ?? 0) + 1;
    tries.set(key, count);
    if (count === 1) throw new KubernetesError(Number(key), '', `status ${key}`);
    return 'done';
  });
  for (const key of ['409', '403', '404']) queue.add(key);
  await eventually('the queue is empty', () => queue.size === 0);
  assert.deepEqual(Object.fromEntries(tries), { 403: 2, 404: 1, 409: 2 });
  assert.equal((await failures()) - before, 1);
});

test('an API server that is busy is waited for as it asks, with every key', async () => {
  const times: number[] = [];
  const queue = queueOf(
    async (_key, turn) => {
      await turn();
      times.push(performance.now());
      if (times.length === 1) throw new KubernetesError(429, 'TooManyRequests', 'busy', 300);
      return 'done';
    },
    { workers: 1 },
  );
  queue.add('a');
  queue.add('b');
  await eventually('the queue is empty', () => queue.size === 0);
  assert.equal(times.length, 3);
  for (const time of times.slice(1)) assert.ok(time - (times[0] ?? 0) >= 290);
});

test('a key that is planned for later goes at once when it is added now', async () => {
  let runs = 0;
  const queue = queueOf(async () => {
    runs += 1;
    return 'done';
  });
  queue.add('a', 60_000);
  queue.add('a', 90_000);
  assert.equal(queue.size, 1);
  queue.add('a');
  await eventually('the queue is empty', () => queue.size === 0);
  assert.equal(runs, 1);
});

test('when the term is over nothing is begun and nothing waits', async () => {
  const ending = new AbortController();
  let runs = 0;
  const queue = queueOf(
    async (_key, turn) => {
      runs += 1;
      await turn();
      return 'again';
    },
    { term: ending.signal },
  );
  queue.add('a');
  queue.add('b', 60_000);
  ending.abort();
  queue.add('c');
  await eventually('the queue is empty', () => queue.size === 0);
  assert.equal(runs, 1);
});
