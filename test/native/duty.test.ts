/** Where one task after the other opens a file or executes a program, one reader answers alone, in a way that leaves them where they are. */

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gatedContainers, gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { eventually } from '../support/programs.ts';
import { makeBusy, type Scheduled, SchedulingClass, scheduledOf } from '../support/scheduling.ts';

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

const isOnAny = (reader: Scheduled): boolean => /[-,]/.test(reader.processors);

/** What a reader is on duty for. */
interface Row {
  readonly title: string;
  /** Does it until the file exists. Gives the longest wait, where it is told. */
  begin(container: Container, enough: string): Promise<number | undefined>;
  isOnDuty(reader: Scheduled): boolean;
}

const rows: readonly Row[] = [
  {
    title: 'a task that opens one file after the other',
    async begin(container, enough) {
      const opened = await opener(container, 'poll', '/etc/passwd', enough, 'RDONLY');
      const [opens = 0, refused, longestUs = 0] = opened.split(' ').map(Number);
      assert.equal(refused, 0);
      assert.ok(opens > 100, `${opens} opens`);
      return longestUs;
    },
    isOnDuty: (reader) => reader.class === SchedulingClass.last && !isOnAny(reader),
  },
  {
    title: 'a task that executes one program after the other',
    async begin(container, enough) {
      const line = `while [ ! -e ${enough} ]; do /bin/busybox true || echo refused; done`;
      assert.equal((await container.sh(line)).stdout, '');
      return undefined;
    },
    isOnDuty: (reader) => reader.class === SchedulingClass.ordinary && isOnAny(reader),
  },
];

/** Two containers whose every open is judged, and the threads that do. */
async function gated(t: TestContext, row: Row) {
  const { gate, containers } = await gatedContainers(t, host, { count: 2, name: `duty-${++count}` });
  const [keeper = 0] = await keepersOf(gate.pid);
  const readers = () => scheduledOf(keeper, 'd4c-reader');
  const onDuty = async () => (await readers()).filter(row.isOnDuty).length;
  const [first, second] = containers as [Container, Container];
  return { first, second, readers, onDuty };
}

/** Does it until the function that it gives is called. */
async function burst(row: Row, container: Container) {
  await container.sh('rm -f /tmp/enough');
  const doing = row.begin(container, '/tmp/enough');
  return async () => {
    await container.sh('touch /tmp/enough');
    return doing;
  };
}

/** A burst in which a reader has come to be on duty. */
async function burstOnDuty(row: Row, container: Container, onDuty: () => Promise<number>) {
  for (let attempt = 1; ; attempt++) {
    const end = await burst(row, container);
    try {
      await eventually('a reader is on duty', async () => (await onDuty()) === 1, attemptMs);
      return end;
    } catch (error) {
      await end();
      if (attempt === attempts) throw error;
    }
  }
}

for (const row of rows) {
  describe(row.title, { skip }, () => {
    test('is answered by one reader, which is then as the others again', async (t) => {
      const { first, second, readers, onDuty } = await gated(t, row);
      assert.equal(await onDuty(), 0);
      const end = await burstOnDuty(row, first, onDuty);
      for (let i = 0; i < 50; i++) assert.ok((await onDuty()) <= 1);
      await end();
      await eventually('all go first on their processors again', async () => {
        // Each comes back to its processors with its next event.
        await opener(second, 'visit', '/etc/passwd', '20', 'RDONLY');
        const now = await readers();
        return now.every((reader) => reader.class === SchedulingClass.first && !isOnAny(reader));
      });
    });

    test('keeps no task of another container waiting', async (t) => {
      const { first, second, onDuty } = await gated(t, row);
      const end = await burstOnDuty(row, first, onDuty);
      // With a rest of a millisecond after each.
      const visited = await opener(second, 'visit', '/etc/passwd', '1500', 'WRONLY');
      await end();
      const [opens = 0, refused, longestUs = 0] = visited.split(' ').map(Number);
      t.diagnostic(`${opens} opens; longest wait ${longestUs} us`);
      assert.equal(refused, opens);
      assert.ok(opens > 400, `${opens} opens`);
      assert.ok(longestUs < 100_000, `${longestUs} us`);
    });

    test('is answered by readers that go first where all processors are busy', async (t) => {
      const { first, second, onDuty } = await gated(t, row);
      const end = await burstOnDuty(row, first, onDuty);
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
      const visited = await opener(second, 'visit', '/etc/passwd', '500', 'WRONLY');
      const [opens = 0, refused, longestUs = 0] = visited.split(' ').map(Number);
      const ownUs = (await end()) ?? 0;
      t.diagnostic(`${opens} opens; longest wait ${longestUs} us, of the row ${ownUs} us`);
      assert.equal(refused, opens);
      assert.ok(Math.max(longestUs, ownUs) < 250_000, `${longestUs} us, of the row ${ownUs} us`);
    });
  });
}
