import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { makeTally, type Share } from '../../src/controller/tally.ts';

test('pods are counted per policy and per namespace, and a pod that changes counts anew', () => {
  const told: string[] = [];
  const tally = makeTally((ids, namespace) => told.push(`${namespace}: ${[...ids].sort().join()}`));
  tally.set('a/1', { namespace: 'a', applies: 'p,q', undecided: 'r' });
  tally.set('b/1', { namespace: 'b', applies: 'p', undecided: '' });
  assert.deepEqual(tally.ofPolicy('p'), { bound: 2, undecided: 0 });
  assert.deepEqual(tally.ofPolicy('r'), { bound: 0, undecided: 1 });
  assert.deepEqual(
    tally.ofNamespace('a').map(({ id }) => id),
    ['p', 'q', 'r'],
  );
  tally.set('a/1', { namespace: 'a', applies: 'q', undecided: '' });
  assert.deepEqual(tally.ofNamespace('a'), [{ id: 'q', count: { bound: 1, undecided: 0 } }]);
  tally.set('a/1', undefined);
  assert.deepEqual(tally.ofNamespace('a'), []);
  assert.deepEqual(tally.ofPolicy('p'), { bound: 1, undecided: 0 });
  assert.deepEqual(told, ['a: p,q,r', 'b: p', 'a: p,q,r', 'a: q']);
});

test('a pod that counts for the same as before is told to nobody', () => {
  let calls = 0;
  const tally = makeTally(() => {
    calls += 1;
  });
  const share: Share = { namespace: 'a', applies: 'p', undecided: '' };
  tally.set('a/1', share);
  tally.set('a/1', { ...share });
  tally.set('a/2', undefined);
  assert.equal(calls, 1);
});

test('whatever happens to pods, counts are those of the pods that are there', () => {
  const ids = fc.uniqueArray(fc.constantFrom('p', 'q', 'r'), { maxLength: 3 }).map((list) => list.join());
  const step = fc.record({
    pod: fc.constantFrom('1', '2', '3'),
    share: fc.option(fc.record({ applies: ids, undecided: ids }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const tally = makeTally(() => undefined);
      const model = new Map<string, { applies: string; undecided: string }>();
      for (const { pod, share } of steps) {
        tally.set(pod, share && { namespace: 'n', ...share });
        if (share) model.set(pod, share);
        else model.delete(pod);
      }
      const has = (text: string, id: string) => text.split(',').includes(id);
      for (const id of ['p', 'q', 'r']) {
        const pods = [...model.values()];
        const bound = pods.filter(({ applies }) => has(applies, id)).length;
        const undecided = pods.filter((pod) => has(pod.undecided, id)).length;
        assert.deepEqual(tally.ofPolicy(id), { bound, undecided });
      }
    }),
  );
});
