import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchAnnotations } from '../../src/node/annotationWatch.ts';
import type { PodDifference } from '../../src/node/place.ts';
import { eventually } from '../support/programs.ts';

const difference = (uid: string, found: string): PodDifference => ({
  pod: { uid, name: uid, namespace: 'shop' } as PodDifference['pod'],
  found,
  expected: 'web',
});

test('tells of a difference that lasts, once, and again when it is another one', async (t) => {
  const told: string[] = [];
  let now = [difference('a', '')];
  const watch = watchAnnotations(
    { differences: () => now },
    { graceMs: 40, everyMs: 5, onDifference: ({ pod, found }) => told.push(`${pod.uid}:${found}`) },
  );
  t.after(watch.close);
  const started = performance.now();
  await eventually('it is told', () => told.length > 0);
  assert.ok(performance.now() - started >= 40);
  now = [difference('a', 'forged'), difference('b', '')];
  await eventually('both are told', () => told.length >= 3);
  assert.deepEqual(told.slice().sort(), ['a:', 'a:forged', 'b:']);
});

test('says nothing of what is mended within the grace', async (t) => {
  const told: PodDifference[] = [];
  let looks = 0;
  const watch = watchAnnotations(
    { differences: () => (++looks < 4 ? [difference('a', '')] : []) },
    { graceMs: 1_000, everyMs: 5, onDifference: (each) => told.push(each) },
  );
  t.after(watch.close);
  await eventually('it was looked at again', () => looks > 10);
  assert.deepEqual(told, []);
});
