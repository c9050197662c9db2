import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { rememberGenerations } from '../../src/admission/generations.ts';
import { generationFor } from './support.ts';

const numbered = (number: number) => generationFor({}, number);
const noRefresh = () => Promise.resolve();

test('the current generation comes first, then the replaced ones, newest first', () => {
  const generations = rememberGenerations(numbered(1), noRefresh);
  generations.publish(numbered(2));
  generations.publish(numbered(3));
  assert.equal(generations.current().number, 3);
  assert.deepEqual(
    generations.honest().map(({ number }) => number),
    [3, 2, 1],
  );
});

test('a replaced generation is forgotten when its time is over, the current one never', async () => {
  const generations = rememberGenerations(numbered(1), noRefresh, 20);
  generations.publish(numbered(2));
  await setTimeout(40);
  assert.deepEqual(
    generations.honest().map(({ number }) => number),
    [2],
  );
});

test('a replica is a newcomer from its first policies on for as long as a replaced generation is honest', async () => {
  const generations = rememberGenerations(numbered(0), noRefresh, 20);
  assert.equal(generations.isNewcomer(), false);
  generations.publish(numbered(1));
  assert.equal(generations.isNewcomer(), true);
  assert.deepEqual(
    generations.honest().map(({ number }) => number),
    [1],
  );
  await setTimeout(40);
  assert.equal(generations.isNewcomer(), false);
  generations.publish(numbered(2));
  assert.equal(generations.isNewcomer(), false);
});
