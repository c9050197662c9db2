/** Every known way around the gate is tried, and what becomes of it is what docs/limits.md says. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import type { Container, ContainerHost } from '../support/containers.ts';
import { putDynamic } from '../support/dynamic.ts';
import { gateHost, gateRequirements, putProgram } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { bind } from '../support/runcConfig.ts';
import { type TestGate, testGate } from '../support/testGate.ts';
import { bypasses, type OptIn } from './cases.ts';
import { limitsFile, limitsText } from './limits.ts';
import { ruleTables } from './tables.ts';

const skip = gateRequirements();
/** What the gate waits before it draws conclusions from an exec of which it saw the end alone (`execs.cc`). */
const underWayMs = 2_200;

test('docs/limits.md is what the cases make', () => {
  assert.equal(readFileSync(limitsFile, 'utf8'), limitsText());
});

/** Opt-ins are the gate's, so that ways which are tried with one have a gate of their own. */
const gates: readonly {
  readonly title: string;
  readonly options: object;
  readonly optIns: readonly (OptIn | undefined)[];
}[] = [
  { title: 'are tried in containers that ran before the gate opened', options: {}, optIns: [undefined] },
  {
    title: 'are tried with opt-ins',
    options: { blockScripts: true, memfdNoexec: true },
    optIns: ['block-scripts', 'memfd-noexec'],
  },
];

describe('the known ways around', { skip }, () => {
  let host: ContainerHost;
  let gate: TestGate;
  const idOf = (index: number) => `${containerPrefix}${process.pid}-way${index}`;
  const rootOf = (index: number) => join(host.folder, idOf(index), 'rootfs');
  const volumeOf = (index: number) => join(host.folder, `${idOf(index)}-volume`);
  before(async () => {
    host = await gateHost();
    await putDynamic(join(host.folder, 'image'), '/bin/echo', '/usr/bin/dynamic');
    await putProgram(host, 'attacker', join(import.meta.dirname, 'attacker.c'));
  });
  after(async () => {
    await gate?.close();
    await host?.close();
  });

  for (const { title, options, optIns } of gates) {
    test(title, async (t) => {
      const tried = [...bypasses.entries()].filter(([, { optIn }]) => optIns.includes(optIn));
      const containers = new Map<number, Container>();
      for (const [index, { before: prepare }] of tried) {
        const source = volumeOf(index);
        await mkdir(source);
        const volumes = [bind(source, '/data')];
        const container = await host.startRunc({
          id: idOf(index),
          capabilities: ['CAP_SYS_ADMIN', 'CAP_SETFCAP'],
          volumes,
        });
        await prepare?.(container, rootOf(index));
        containers.set(index, container);
      }
      gate = await testGate({
        publish: 'found',
        options,
        tables: Object.fromEntries(tried.map(([index, { rule }]) => [idOf(index), ruleTables[rule]()])),
      });
      // An exec that was under way when the gate opened is not told from its beginning.
      await setTimeout(underWayMs);
      for (const [index, bypass] of tried) {
        await t.test(bypass.way, async () => {
          const container = containers.get(index);
          assert.ok(container);
          const key = await gate.keyOf(container.id);
          await gate.ask({ type: 'adopt', key, pid: container.pid });
          const succeeds = await bypass.attempt(container, rootOf(index), volumeOf(index));
          const isAbout = (path: string) => path.startsWith(bypass.path);
          const first = () => gate.events.find((event) => event.key === key && isAbout(event.path));
          if (bypass.outcome !== 'unseen') await eventually('it is reported', first);
          const outcome = first()?.outcome ?? 'unseen';
          assert.deepEqual({ succeeds, outcome }, { succeeds: bypass.succeeds, outcome: bypass.outcome });
        });
      }
      await gate.close();
    });
  }
});
