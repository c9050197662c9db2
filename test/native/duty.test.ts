/** Where one task opens one file after the other, one reader answers alone, and lets everything else go before it. */

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gatedContainers, gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { eventually } from '../support/programs.ts';
import { classesOf, makeBusy, SchedulingClass } from '../support/scheduling.ts';

const skip = gateRequirements() ?? (availableParallelism() < 2 && 'needs two processors');
/** Nobody is on duty on a busy machine: what else runs on it may take a while. */
const attempts = 8;
const attemptMs = 8_000;
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === false) host = await gateHost();
});
after(() => host?.close());

/** Two containers whose every open is judged, and the classes of the threads that do. */
async function gated(t: TestContext) {
  const { gate, containers } = await gatedContainers(t, host, { count: 2, name: `duty-${++count}` });
  const [keeper = 0] = await keepersOf(gate.pid);
  const classes = () => classesOf(keeper, 'd4c-reader');
  const onDuty = async () => (await classes()).filter((each) => each === SchedulingClass.last).length;
  return { containers, classes, onDuty };
}

/** Opens one file after the other until the function that it gives is called. That gives how many, and the longest wait. */
async function burst(container: Container) {
  await container.sh('rm -f /tmp/enough');
  const opening = opener(container, 'poll', '/etc/passwd', '/tmp/enough', 'RDONLY');
  return async () => {
    await container.sh('touch /tmp/enough');
    const [opens = 0, refused = 0, longestUs = 0] = (await opening).split(' ').map(Number);
    assert.equal(refused, 0);
    return { opens, longestUs };
  };
}

/** A burst in which a reader has come to be on duty. */
async function burstOnDuty(container: Container, onDuty: () => Promise<number>) {
  for (let attempt = 1; ; attempt++) {
    const end = await burst(container);
    try {
      await eventually('a reader is on duty', async () => (await onDuty()) === 1, attemptMs);
      return end;
    } catch (error) {
      await end();
      if (attempt === attempts) throw error;
    }
  }
}

describe('a task that opens one file after the other', { skip }, () => {
  test('is answered by one reader that goes last, until it ends', async (t) => {
    const { containers, classes, onDuty } = await gated(t);
    const [first] = containers as [Container];
    assert.equal(await onDuty(), 0);
    const end = await burstOnDuty(first, onDuty);
    for (let i = 0; i < 50; i++) assert.ok((await onDuty()) <= 1);
    assert.ok((await end()).opens > 100);
    await eventually('all go first again', async () =>
      (await classes()).every((each) => each === SchedulingClass.first),
    );
  });

  test('keeps no task of another container waiting', async (t) => {
    const { containers, onDuty } = await gated(t);
    const [first, second] = containers as [Container, Container];
    const end = await burstOnDuty(first, onDuty);
    // With a rest of a millisecond after each.
    const [opens = 0, refused, longestUs = 0] = (
      await opener(second, 'visit', '/etc/passwd', '1500', 'WRONLY')
    )
      .split(' ')
      .map(Number);
    const { opens: others } = await end();
    t.diagnostic(`${opens} beside ${others} opens; longest wait ${longestUs} us`);
    assert.equal(refused, opens);
    assert.ok(opens > 400, `${opens} opens`);
    assert.ok(longestUs < 100_000, `${longestUs} us`);
  });

  test('is answered by readers that go first where all processors are busy', async (t) => {
    const { containers, onDuty } = await gated(t);
    const [first] = containers as [Container];
    const end = await burstOnDuty(first, onDuty);
    makeBusy(t);
    await eventually(
      'none is on duty any more',
      async () => {
        for (let i = 0; i < 50; i++) if ((await onDuty()) > 0) return false;
        return true;
      },
      30_000,
    );
    assert.equal(await onDuty(), 0);
    const { opens, longestUs } = await end();
    t.diagnostic(`${opens} opens; longest wait ${longestUs} us`);
    assert.ok(longestUs < 250_000, `${longestUs} us`);
  });
});
