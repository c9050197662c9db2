/** A namespace that observes is told of what would be refused. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deployment, dropAndRun, namespaceObject } from '../support/e2e.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

export const observing: Chapter = (e2e) => {
  describe('observing', () => {
    test('what policies forbid is alerted and happens', async () => {
      await e2e().apply(namespaceObject('watched', 'observe'));
      await e2e().apply(deployment('watched', 'shop'));
      const pod = await e2e().podOf('watched', 'shop');
      assert.equal((await e2e().sh('watched', pod, dropAndRun)).stdout, 'ran\n');
      const { d4c_gate, event } = await eventually('it is alerted', async () =>
        (await e2e().documents()).find(({ orchestrator }) => orchestrator?.resource.name === pod),
      );
      assert.deepEqual(
        { outcome: d4c_gate.outcome, mode: d4c_gate.mode, kind: event.kind, type: event.type },
        { outcome: 'detected', mode: 'observe', kind: 'alert', type: ['start'] },
      );
    });

    test('its running pods are refused within 10 seconds once it enforces, and no more when it observes again', async () => {
      const pod = await e2e().podOf('watched', 'shop');
      const becomes = (what: string, exitCode: number) =>
        eventually(
          what,
          async () => (await e2e().sh('watched', pod, dropAndRun)).exitCode === exitCode,
          10_000,
        );
      await e2e().ask('label', 'namespace', 'watched', 'd4c-gate.io/mode=enforce', '--overwrite');
      await becomes('it is refused', 126);
      await e2e().ask('label', 'namespace', 'watched', 'd4c-gate.io/mode=observe', '--overwrite');
      await becomes('it happens again', 0);
    });

    test('a pod that ran before its namespace opted in is gated without a restart', async () => {
      const pod = await e2e().podOf('plain', 'older');
      const becomes = (what: string, exitCode: number) =>
        eventually(
          what,
          async () => (await e2e().sh('plain', pod, dropAndRun)).exitCode === exitCode,
          10_000,
        );
      await e2e().ask('label', 'namespace', 'plain', 'd4c-gate.io/mode=enforce');
      await becomes('it is refused', 126);
      await e2e().ask('annotate', 'namespace', 'plain', 'd4c-gate.io/confirm-opt-out=true', '--overwrite');
      await e2e().ask('label', 'namespace', 'plain', 'd4c-gate.io/mode-');
      await becomes('it is left alone again', 0);
    });
  });
};
