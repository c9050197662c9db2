/** What a document says of an exec is true though its task goes on, to the kernel's second question, before all of it is read. */

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { KernelEvent } from '../../src/native/gate.ts';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { SchedulingClass, scheduledOf } from '../support/scheduling.ts';
import { tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements() ?? (availableParallelism() < 2 && 'needs two processors');
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === false) host = await gateHost();
});
after(() => host?.close());

const file = {
  selectors: [{ name: 'drift', operation: ['createExecutable', 'modifyExecutable'] }],
  responses: [{ match: ['drift'], actions: ['alert', 'block'] }],
};
const processes = {
  selectors: [{ name: 'every', operation: ['exec'] }],
  responses: [{ match: ['every'], actions: ['log'] }],
};
/** The kernel asks twice for an exec under the first one, and once under the second. */
const [asksTwice, asksOnce] = [tableOf({ file, process: processes }), tableOf({ process: processes })];

async function gated(t: TestContext) {
  const ids = [1, 2].map(() => `${containerPrefix}${process.pid}-second-${++count}`);
  const gate = await testGate({ tables: Object.fromEntries(ids.map((id) => [id, asksTwice])) });
  t.after(gate.close);
  const containers: Container[] = [];
  for (const id of ids) {
    containers.push(await host.startRunc({ id }));
    t.after(containers.at(-1)?.remove);
  }
  const [container, other] = containers as [Container, Container];
  const [keeper = 0] = await keepersOf(gate.pid);
  /** How often a look found a reader on duty for execs. */
  const seen = { onDuty: 0 };
  const look = setInterval(async () => {
    // It ends before the last look.
    const readers = await scheduledOf(keeper, 'd4c-reader').catch(() => []);
    if (readers.some((reader) => reader.class === SchedulingClass.ordinary)) ++seen.onDuty;
  }, 20);
  t.after(() => clearInterval(look));
  return { gate, container, other, seen };
}

/** Executes two programs by turns, each with a number of its own. */
const rowOf = (name: string, times: number, rest = ''): string =>
  `i=0; while [ $i -lt ${times} ]; do
     /bin/busybox true ${name} $i; /bin/opener row ${name} $i; ${rest} i=$((i + 1))
   done`;
const programs = ['/bin/busybox true', '/bin/opener row'];

/** Of a row, each with what was executed; in the order of their numbers. */
function ofRow(events: readonly KernelEvent[], name: string) {
  return events
    .filter(({ process: { args } }) => args[2] === name)
    .map(({ process: { args, executable, pid }, parent, path }) => ({
      line: args.join(' '),
      isTrue: path === executable && args[0] === executable && parent?.pid !== pid,
      parent: `${parent?.pid} ${parent?.executable} ${parent?.args[2]?.slice(0, 10)}`,
    }));
}

describe('of programs that are executed one after the other', { skip }, () => {
  test('each is told once, as what it is, also while other containers execute programs', async (t) => {
    const { gate, container, other, seen } = await gated(t);
    const times = 1_500;
    // Some are killed on their way.
    const rest = 'sleep 0.02; /bin/busybox true & kill -9 $!;';
    const rows = [container.sh(rowOf('one', times)), other.sh(rowOf('two', 40, rest))];
    await Promise.all(rows);
    for (const [name, expected] of [
      ['one', times],
      ['two', 40],
    ] as const) {
      const told = await eventually('all are told', () => {
        const all = ofRow(gate.events, name);
        return all.length >= 2 * expected && all;
      });
      assert.deepEqual(
        told.map(({ line }) => line).sort(),
        Array.from({ length: expected }, (_, i) => programs.map((program) => `${program} ${name} ${i}`))
          .flat()
          .sort(),
      );
      assert.ok(told.every(({ isTrue }) => isTrue));
      assert.equal(new Set(told.map(({ parent }) => parent)).size, 1);
      assert.match(told[0]?.parent ?? '', /^\d+ \/bin\/busybox i=0; while$/);
    }
    t.diagnostic(`${seen.onDuty} times a reader was seen on duty`);
    assert.deepEqual(gate.failures, []);
  });

  test('none is told with what another one was executed with, whatever the kernel asks for meanwhile', async (t) => {
    const { gate, container, seen } = await gated(t);
    const key = await gate.keyOf(container.id);
    const times = 700;
    const row = container.sh(rowOf('one', times));
    const swaps = gate.ask({ type: 'swap', key, tables: [asksTwice, asksOnce], ms: 1_000 });
    await row;
    t.diagnostic(`${await swaps} swaps; ${seen.onDuty} times a reader was seen on duty`);
    // One that has run to its end before it was looked at is told without arguments, and by which program it was executed.
    const isOfRow = ({ process: { args } }: KernelEvent) => args.length === 0 || args[2] === 'one';
    await eventually('all are told', () => gate.events.filter(isOfRow).length >= 2 * times);
    const told = gate.events.filter(isOfRow);
    assert.equal(told.length, 2 * times);
    const whole = told.filter(({ process: { args } }) => args.length > 0);
    for (const { process: facts } of told) assert.equal(facts.argsTruncated, facts.args.length === 0);
    const lines = ofRow(whole, 'one');
    assert.ok(lines.every(({ isTrue }) => isTrue));
    assert.equal(new Set(lines.map(({ line }) => line)).size, whole.length);
    t.diagnostic(`${told.length - whole.length} without arguments`);
    assert.ok(whole.length > times, `${whole.length} with arguments`);
  });
});
