/** An edited policy reaches running pods without a restart of anything. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dropAndRun, noProgramsInTmp } from '../support/e2e.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

const limitMs = 10_000;

export const policyChanges: Chapter = (e2e) => {
  describe('a policy that changes', () => {
    async function bothSay(pod: string, policies: string, exitCode: number): Promise<void> {
      const annotation = ['-o', 'jsonpath={.metadata.annotations.d4c-gate\\.io/policies}'];
      await Promise.all([
        eventually(
          'the pod is annotated anew',
          async () => (await e2e().ask('get', 'pod', pod, '-n', 'shop', ...annotation)) === policies,
          limitMs,
        ),
        eventually(
          'the node decides anew',
          async () => (await e2e().sh('shop', pod, dropAndRun)).exitCode === exitCode,
          limitMs,
        ),
      ]);
    }

    test('binds and annotates running pods anew within 10 seconds, without a restart', async () => {
      const pod = await e2e().podOf('shop', 'web');
      await e2e().apply(noProgramsInTmp({ kubernetesPodLabel: ['app:other'] }));
      await bothSay(pod, '', 0);
      await e2e().apply(noProgramsInTmp());
      await bothSay(pod, 'no-programs-in-tmp', 126);
      const restarts = 'jsonpath={.status.containerStatuses[0].restartCount}';
      assert.equal(await e2e().ask('get', 'pod', pod, '-n', 'shop', '-o', restarts), '0');
    });

    test('applies when a label of a running pod comes to match', async () => {
      const pod = await e2e().podOf('shop', 'web');
      await e2e().apply(noProgramsInTmp({ kubernetesPodLabel: ['stage:canary'] }));
      await bothSay(pod, '', 0);
      await e2e().ask('label', 'pod', pod, '-n', 'shop', 'stage=canary');
      await bothSay(pod, 'no-programs-in-tmp', 126);
      await e2e().apply(noProgramsInTmp());
    });

    test('that is faulty is refused, and the good one stays', async () => {
      const faulty = noProgramsInTmp({ operation: ['explode'] });
      await assert.rejects(e2e().apply(faulty), /unknown operation|POLICY_UNKNOWN_OPERATION/);
      const pod = await e2e().podOf('shop', 'web');
      assert.equal((await e2e().sh('shop', pod, dropAndRun)).exitCode, 126);
    });
  });
};
