import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KubernetesObject } from '../../src/kubernetes/kinds.ts';
import { Store } from '../../src/kubernetes/store.ts';

const object = (name: string, resourceVersion: string, namespace?: string): KubernetesObject => ({
  metadata: { name, resourceVersion, ...(namespace !== undefined && { namespace }) },
});
const versions = () => new Store((o: KubernetesObject) => o.metadata.resourceVersion);

test('tells additions, changes and deletions, and nothing for a state that is known', () => {
  const store = versions();
  assert.deepEqual(store.put(object('a', '1')), { type: 'added', object: '1' });
  assert.equal(store.put(object('a', '1')), undefined);
  assert.deepEqual(store.put(object('a', '2')), { type: 'changed', object: '2', previous: '1' });
  assert.deepEqual(store.remove(object('a', '3')), { type: 'deleted', object: '2' });
  assert.equal(store.remove(object('a', '3')), undefined);
});

test('keeps objects of the same name in different namespaces apart', () => {
  const store = versions();
  store.put(object('a', '1', 'x'));
  store.put(object('a', '2', 'y'));
  assert.equal(store.get('a', 'x'), '1');
  assert.equal(store.get('a', 'y'), '2');
  assert.equal(store.get('a'), undefined);
});

test('a list that is not finished deletes nothing', () => {
  const store = versions();
  store.put(object('a', '1'));
  store.replaceAll().put(object('b', '2'));
  assert.equal(store.size, 2);
});

test('after a list the store holds exactly what was listed, and the changes lead there', () => {
  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'));
  fc.assert(
    fc.property(names, names, (before, after) => {
      const store = new Store((o: KubernetesObject) => o.metadata.name ?? '');
      const mirror = new Set<string>();
      const apply = (change: ReturnType<typeof store.put>) => {
        if (change?.type === 'deleted') mirror.delete(change.object);
        else if (change) mirror.add(change.object);
      };
      for (const name of before) apply(store.put(object(name, '1')));
      const replacement = store.replaceAll();
      for (const name of after) apply(replacement.put(object(name, '2')));
      for (const change of replacement.finish()) apply(change);
      assert.deepEqual([...store.values()].sort(), [...after].sort());
      assert.deepEqual([...mirror].sort(), [...after].sort());
    }),
  );
});
