/** `helm install` with no value set changes nothing where nobody opted in. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  deployment,
  dropAndRun,
  installArguments,
  namespaceObject,
  noProgramsInTmp,
  release,
} from '../support/e2e.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

export const installing: Chapter = (e2e) => {
  describe('installing', () => {
    test('with no value set, both components become ready', async () => {
      await e2e().apply(namespaceObject('plain'));
      await e2e().apply(deployment('plain', 'older'));
      await e2e().podOf('plain', 'older');
      await e2e().helm(...installArguments);
      const count = (kindAndName: string, field: string) =>
        e2e().ask('get', kindAndName, '-n', release.namespace, '-o', `jsonpath={.status.${field}}`);
      const nodes = await count('daemonset/d4c-gate-agent', 'desiredNumberScheduled');
      assert.equal(await count('daemonset/d4c-gate-agent', 'numberReady'), nodes);
      assert.equal(await count('deployment/d4c-gate-webhook', 'readyReplicas'), '2');
    });

    test('a policy is accepted, and `helm test` is content', async () => {
      await eventually(
        'the webhook is called',
        () =>
          e2e()
            .apply(noProgramsInTmp())
            .then(
              () => true,
              () => false,
            ),
        30_000,
      );
      await e2e().helm('test', release.name, '--timeout=60s');
    });

    test('a namespace that has not opted in is left alone', async () => {
      await e2e().apply(deployment('plain', 'newer'));
      for (const app of ['older', 'newer']) {
        const pod = await e2e().podOf('plain', app);
        assert.equal((await e2e().sh('plain', pod, dropAndRun)).stdout, 'ran\n');
        const annotations = await e2e().ask(
          'get',
          'pod',
          pod,
          '-n',
          'plain',
          '-o',
          'jsonpath={.metadata.annotations}',
        );
        assert.equal(annotations.includes('d4c-gate.io'), false, annotations);
      }
      const namespaces = (await e2e().documents()).map(({ orchestrator }) => orchestrator?.namespace);
      assert.equal(namespaces.includes('plain'), false);
    });

    test('kube-system and the release’s own namespace cannot opt in, not even by accident', async () => {
      for (const namespace of ['kube-system', release.namespace]) {
        await e2e().ask('label', 'namespace', namespace, 'd4c-gate.io/mode=enforce', '--overwrite');
        await e2e().apply(deployment(namespace, 'accident'));
        const pod = await e2e().podOf(namespace, 'accident');
        assert.equal((await e2e().sh(namespace, pod, dropAndRun)).stdout, 'ran\n');
        await e2e().ask('delete', 'deployment', 'accident', '-n', namespace);
        await e2e().ask('label', 'namespace', namespace, 'd4c-gate.io/mode-');
      }
    });
  });
};
