import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeRecovery } from '../../src/kubernetes/recovery.ts';
import { KubernetesError } from '../../src/kubernetes/transport.ts';

const times = { firstPauseMs: 250, longestPauseMs: 10_000 };
const away = () => new KubernetesError(0, '', 'connection refused');
const answered = (status: number, retryAfterMs?: number) =>
  new KubernetesError(status, '', `answered ${status}`, retryAfterMs);

const between = (value: number, least: number, most: number) =>
  assert.ok(value >= least && value <= most, `${value} is not within ${least} and ${most}`);

test('pauses double from the first one to the longest, each with jitter', () => {
  const recovery = makeRecovery(times);
  for (const mostMs of [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]) {
    const { pauseMs, next } = recovery.failed(away(), 'watch');
    between(pauseMs, mostMs / 2, mostMs);
    assert.equal(next, 'watch');
  }
  assert.equal(recovery.failuresInRow, 8);
  recovery.watched();
  between(recovery.failed(away(), 'watch').pauseMs, 125, 250);
});

test('a server that was away and answers again, however badly, is asked again soon', () => {
  const cases = [
    [answered(503), 250, 'it starts'],
    [answered(403), 250, 'it has not read its roles yet'],
    [answered(429, 1_000), 1_000, 'its caches are filled, and it says when to come'],
    [answered(410), 250, 'its history begins with its start'],
    [new Error('not JSON'), 250, 'something in between answers'],
  ] as const;
  for (const [error, mostMs, because] of cases) {
    const recovery = makeRecovery(times);
    for (let count = 0; count < 10; count += 1) recovery.failed(away(), 'watch');
    assert.ok(recovery.failed(error, 'watch').pauseMs <= mostMs, because);
  }
});

test('history that is gone leads to a list, and does not spin when every list is followed by the same answer', () => {
  const recovery = makeRecovery(times);
  for (const mostMs of [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000]) {
    const { pauseMs, next } = recovery.failed(answered(410), 'watch');
    between(pauseMs, mostMs / 2, mostMs);
    assert.equal(next, 'list');
    recovery.listed();
  }
});

test('a list that took longer than history lasts is no reason to forget where the watch was', () => {
  assert.equal(makeRecovery(times).failed(answered(410), 'list').next, 'watch');
});

test('watching that is refused again and again is helped by a list, one in three, and being away is not', () => {
  const recovery = makeRecovery(times);
  const next = (error: unknown) => recovery.failed(error, 'watch').next;
  const refused = Array.from({ length: 6 }, () => next(answered(403)));
  assert.deepEqual(refused, ['watch', 'watch', 'listOnce', 'watch', 'watch', 'listOnce']);
  assert.deepEqual([next(away()), next(away()), next(away())], ['watch', 'watch', 'watch']);
  assert.deepEqual(
    [next(answered(429)), next(answered(429)), next(answered(429))],
    ['watch', 'watch', 'watch'],
  );
});

test('waits as long as `Retry-After` asks, and never longer than the longest pause', () => {
  const recovery = makeRecovery(times);
  between(recovery.failed(answered(429, 3_000), 'watch').pauseMs, 3_000, 3_000);
  between(recovery.failed(answered(429), 'watch').pauseMs, 1_000, 1_000);
  between(recovery.failed(answered(429, 60_000), 'watch').pauseMs, 10_000, 10_000);
});

test('a list is due after an outage, unless one was made since', () => {
  const recovery = makeRecovery(times);
  recovery.failed(away(), 'watch');
  assert.equal(recovery.watched(), false, 'one failure is no outage');
  for (let count = 0; count < 3; count += 1) recovery.failed(away(), 'watch');
  assert.equal(recovery.watched(), true);
  assert.equal(recovery.watched(), false, 'it is said once');
  for (let count = 0; count < 3; count += 1) recovery.failed(away(), 'watch');
  recovery.listed();
  assert.equal(recovery.watched(), false);
});
