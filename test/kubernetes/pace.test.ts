import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makePace } from '../../src/kubernetes/pace.ts';

async function turnsWithin(ms: number, pace: ReturnType<typeof makePace>): Promise<number> {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(), ms);
  let turns = 0;
  try {
    for (;;) {
      await pace.turn(ending.signal);
      turns += 1;
    }
  } catch (error) {
    assert.equal(ending.signal.aborted, true, String(error));
  } finally {
    clearTimeout(timer);
  }
  return turns;
}

test('a burst goes at once, and then so many a second as agreed', async () => {
  const turns = await turnsWithin(500, makePace(100, 10));
  assert.ok(turns >= 20 && turns <= 62, `${turns} turns in half a second`);
});

test('those who wait together share the rate', async () => {
  const pace = makePace(100, 1);
  const counts = await Promise.all(Array.from({ length: 5 }, () => turnsWithin(400, pace)));
  const turns = counts.reduce((sum, count) => sum + count);
  assert.ok(turns >= 5 && turns <= 42, `${turns} turns`);
});

test('nothing goes while it is held, for those that wait already as well', async () => {
  const pace = makePace(100, 1);
  await pace.turn();
  const waiting = pace.turn();
  const started = performance.now();
  pace.hold(150);
  await Promise.all([waiting, pace.turn()]);
  assert.ok(performance.now() - started >= 145);
});

test('waiting ends when nobody needs the turn any more', async () => {
  const pace = makePace(1, 1);
  await pace.turn();
  const ending = new AbortController();
  const waiting = pace.turn(ending.signal);
  ending.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  await assert.rejects(pace.turn(ending.signal));
});
