import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mutate } from '../../src/admission/mutate.ts';
import { readReview } from '../../src/admission/review.ts';
import { policiesKey, undecidedKey } from '../../src/kubernetes/names.ts';
import { cluster, generationFor, generationsOf, type PodObject, recorded } from './support.ts';

const generations = generationsOf(generationFor({ one: 'team-b' }));

function patchFor(change: (pod: PodObject, old: PodObject) => void) {
  const body = recorded('mutate UPDATE pods j-wmxvn of a Job');
  assert.ok(body.request.oldObject);
  change(body.request.object, body.request.oldObject);
  const answer = mutate(readReview(body), generations, cluster);
  assert.ok(answer.allowed);
  return answer.patch ?? [];
}

test('forged annotations are overwritten', () => {
  const patch = patchFor((pod) => {
    pod.metadata.annotations = { [policiesKey]: 'forged', [undecidedKey]: 'forged' };
  });
  assert.deepEqual(
    patch.map(({ op }) => op),
    ['replace', 'remove'],
  );
});

test('an UPDATE brings old annotations up to date', () => {
  const patch = patchFor((pod, old) => {
    pod.metadata.annotations = { [policiesKey]: 'long-gone' };
    old.metadata.annotations = { [policiesKey]: 'long-gone' };
  });
  assert.deepEqual(
    patch.map(({ value }) => value),
    ['one'],
  );
});

test('a mirror pod is left as it is', () => {
  const patch = patchFor((pod) => {
    pod.metadata.annotations = { 'kubernetes.io/config.mirror': 'x' };
  });
  assert.deepEqual(patch, []);
});

test('a pod that is being deleted is left as it is, unless someone changes its annotations', () => {
  const deleted = '2026-11-24T00:00:00Z';
  const patch = patchFor((pod) => {
    pod.metadata.deletionTimestamp = deleted;
  });
  assert.deepEqual(patch, []);
  const forged = patchFor((pod) => {
    pod.metadata.deletionTimestamp = deleted;
    pod.metadata.annotations = { [policiesKey]: 'forged' };
  });
  assert.equal(forged.length, 1);
});
