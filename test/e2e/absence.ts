/** A part that is away: what goes on without it, and how soon all is as before. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deployment, dropAndRun, release } from '../support/e2e.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

export const absence: Chapter = (e2e) => {
  const refused = (what: string, pod: string, limitMs: number) =>
    eventually(what, async () => (await e2e().sh('shop', pod, dropAndRun)).exitCode === 126, limitMs);
  const rollout = (kindAndName: string) =>
    e2e().kubectl(['rollout', 'status', kindAndName, '-n', release.namespace, '--timeout=90s'], {
      limitMs: 100_000,
    });

  describe('away', () => {
    test('the webhook: pods start, are gated, the node tells of them, and they are annotated once it is back', async () => {
      const scale = (replicas: number) =>
        e2e().ask('scale', 'deployment/d4c-gate-webhook', '-n', release.namespace, `--replicas=${replicas}`);
      await scale(0);
      const selector = ['-n', release.namespace, '-l', 'app.kubernetes.io/component=webhook', '-o', 'name'];
      await eventually(
        'no webhook is left',
        async () => (await e2e().ask('get', 'pods', ...selector)) === '',
        60_000,
      );
      await e2e().apply(deployment('shop', 'meanwhile'));
      const pod = await e2e().podOf('shop', 'meanwhile');
      const annotation = ['-o', 'jsonpath={.metadata.annotations.d4c-gate\\.io/policies}'];
      assert.equal(await e2e().ask('get', 'pod', pod, '-n', 'shop', ...annotation), '');
      await refused('it is gated without an annotation', pod, 5_000);
      const events = ['get', 'events.events.k8s.io', '-n', 'shop', '-o', 'jsonpath={.items[*].reason}'];
      await eventually(
        'the agent tells that the annotation is missing',
        async () => (await e2e().ask(...events)).includes('PolicyAnnotationDiffers'),
        40_000,
      );
      await scale(2);
      assert.equal((await rollout('deployment/d4c-gate-webhook')).exitCode, 0);
      await eventually(
        'it is annotated',
        async () =>
          (await e2e().ask('get', 'pod', pod, '-n', 'shop', ...annotation)) === 'no-programs-in-tmp',
        30_000,
      );
    });

    test('the node: after its restart pods are gated as before', async (t) => {
      const { restart } = e2e();
      if (restart === undefined) return t.skip('the node of `KUBECONFIG` is not ours to restart');
      await restart();
      await eventually(
        'the API server knows that the node is back',
        async () => (await rollout('daemonset/d4c-gate-agent')).exitCode === 0,
        120_000,
      );
      const pod = await e2e().podOf('shop', 'web');
      await refused('it is gated again', pod, 60_000);
    });
  });
};
