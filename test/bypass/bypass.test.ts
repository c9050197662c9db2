/** Every known way around the gate is tried, and what becomes of it is what docs/limits.md says. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { type TestGate, testGate } from '../support/testGate.ts';
import { bypasses } from './cases.ts';
import { limitsFile, limitsText } from './limits.ts';
import { ruleTables } from './tables.ts';

const skip = gateRequirements();

test('docs/limits.md is what the cases make', () => {
  assert.equal(readFileSync(limitsFile, 'utf8'), limitsText());
});

describe('the known ways around', { skip }, () => {
  let host: ContainerHost;
  let gate: TestGate;
  const idOf = (index: number) => `${containerPrefix}${process.pid}-way${index}`;
  const rootOf = (index: number) => join(host.folder, idOf(index), 'rootfs');
  before(async () => {
    host = await gateHost();
  });
  after(async () => {
    await gate?.close();
    await host?.close();
  });

  test('are tried in containers that ran before the gate opened', async (t) => {
    const containers: Container[] = [];
    for (const [index, { before: prepare }] of bypasses.entries()) {
      const container = await host.startRunc({ id: idOf(index), capabilities: ['CAP_SYS_ADMIN'] });
      await prepare?.(container, rootOf(index));
      containers.push(container);
    }
    gate = await testGate({
      publish: 'found',
      tables: Object.fromEntries(bypasses.map(({ rule }, index) => [idOf(index), ruleTables[rule]()])),
    });
    for (const [index, bypass] of bypasses.entries()) {
      await t.test(bypass.way, async () => {
        const container = containers[index];
        assert.ok(container);
        const key = await gate.keyOf(container.id);
        await gate.ask({ type: 'adopt', key, pid: container.pid });
        const succeeds = await bypass.attempt(container, rootOf(index));
        const isAbout = (path: string) => path.startsWith(bypass.path);
        const first = () => gate.events.find((event) => event.key === key && isAbout(event.path));
        if (bypass.outcome !== 'unseen') await eventually('it is reported', first);
        const outcome = first()?.outcome ?? 'unseen';
        assert.deepEqual({ succeeds, outcome }, { succeeds: bypass.succeeds, outcome: bypass.outcome });
      });
    }
  });
});
