import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readReview } from '../../src/admission/review.ts';
import { verify } from '../../src/admission/verify.ts';
import { policiesKey, undecidedKey } from '../../src/kubernetes/names.ts';
import { cluster, generationFor, generationsOf, recorded } from './support.ts';

const nothing = generationFor({ other: 'team-a' });
const one = generationFor({ one: 'team-b' }, 2);
const two = generationFor({ one: 'team-b', two: 'team-b' }, 3);

type Annotations = Record<string, unknown> | null | undefined;

/** A pod of team-b that is created with annotations, or updated from some to others. */
function write(annotations: Annotations, old?: Annotations) {
  const body = recorded('validate CREATE pods dry as a dry run');
  const { request } = body;
  request.object.metadata.annotations = annotations;
  if (old !== undefined) {
    request.operation = 'UPDATE';
    request.oldObject = structuredClone(request.object);
    request.oldObject.metadata.annotations = old;
  }
  return readReview(body);
}

const isAllowed = async (review: ReturnType<typeof write>, generations = generationsOf(one)) =>
  (await verify(review, generations, cluster)).allowed;

const right = { [policiesKey]: 'one' };

const creations: [because: string, annotations: Annotations, allowed: boolean][] = [
  ['they are what the policies give', right, true],
  ['other annotations do not matter', { ...right, a: 'b' }, true],
  ['there are none', undefined, false],
  ['they are null', null, false],
  ['they name another policy', { [policiesKey]: 'other' }, false],
  ['they name one too many', { [policiesKey]: 'one,two' }, false],
  ['they are empty', { [policiesKey]: '' }, false],
  ['one is a number', { [policiesKey]: 1 }, false],
  ['nothing is undecided', { ...right, [undecidedKey]: 'one' }, false],
  ['an empty list of undecided ones is never written', { ...right, [undecidedKey]: '' }, false],
];

for (const [because, annotations, allowed] of creations) {
  test(`a new pod with ${JSON.stringify(annotations)} is ${allowed ? 'allowed' : 'refused'}: ${because}`, async () => {
    assert.equal(await isAllowed(write(annotations)), allowed);
  });
}

test('a pod without annotations is right when no policy applies', async () => {
  for (const annotations of [undefined, null, {}, { [policiesKey]: '' }]) {
    assert.equal(await isAllowed(write(annotations), generationsOf(nothing)), true);
  }
});

const stale = { [policiesKey]: 'long-gone' };
const updates: [because: string, old: Annotations, next: Annotations, allowed: boolean][] = [
  ['nothing changes, although the policies have', stale, { ...stale, more: '' }, true],
  ['it never had any, and the policies are new', null, null, true],
  ['it is brought up to date', stale, right, true],
  ['what is right is forged', right, { [policiesKey]: '' }, false],
  ['what is right is removed', right, null, false],
  ['what is old is exchanged for something else that is wrong', stale, { [policiesKey]: 'two' }, false],
];

for (const [because, old, next, allowed] of updates) {
  test(`an UPDATE is ${allowed ? 'allowed' : 'refused'} because ${because}`, async () => {
    assert.equal(await isAllowed(write(next, old)), allowed);
  });
}

test('a pod that is being deleted can lose its last finalizer whatever its annotations say', async () => {
  const body = recorded('validate UPDATE pods j-wmxvn of a Job');
  for (const pod of [body.request.object, body.request.oldObject]) {
    assert.ok(pod);
    pod.metadata.deletionTimestamp = '2026-11-24T00:00:00Z';
    pod.metadata.annotations = stale;
  }
  assert.equal(await isAllowed(readReview(body)), true);
});

test('a mirror pod is left alone', async () => {
  assert.equal(await isAllowed(write({ 'kubernetes.io/config.mirror': 'x', [policiesKey]: 'copied' })), true);
});

test('what a generation gave that was replaced moments ago is still honest', async () => {
  const generations = generationsOf(one);
  generations.publish(two);
  assert.equal(await isAllowed(write({ [policiesKey]: 'one' }), generations), true);
  assert.equal(await isAllowed(write({ [policiesKey]: 'one,two' }), generations), true);
  assert.equal(await isAllowed(write({ [policiesKey]: 'two' }), generations), false);
});

test('a replica that has just begun allows what a generation may have given that it never knew', async () => {
  const generations = generationsOf(generationFor({}, 0));
  assert.equal(await isAllowed(write({ [policiesKey]: 'two' }), generations), false, 'nothing is read');
  generations.publish(one);
  for (const list of ['', 'two', 'long-gone,one'])
    assert.equal(await isAllowed(write({ [policiesKey]: list }), generations), true, list);
  for (const list of ['two,one', 'one,one', 'one,', ',one'])
    assert.equal(await isAllowed(write({ [policiesKey]: list }), generations), false, list);
  assert.equal(await isAllowed(write({ ...right, [undecidedKey]: '' }), generations), false);
  assert.equal(await isAllowed(write(null), generations), false, 'no webhook has written none at all');
});

test('before it refuses, it looks whether another replica has seen a change earlier', async () => {
  const generations = generationsOf(one, async () => generations.publish(two));
  assert.equal(await isAllowed(write({ [policiesKey]: 'one,two' }), generations), true);
});

test('a forged annotation of any length makes a message of bounded length', async () => {
  const answer = await verify(write({ [policiesKey]: 'x'.repeat(250_000) }), generationsOf(one), cluster);
  assert.ok(!answer.allowed && answer.message.length < 3_000);
});
