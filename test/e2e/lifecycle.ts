/** Upgrade, emergency stop, rollback, uninstall, and another installation. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  deployment,
  dropAndRun,
  installArguments,
  noProgramsInTmp,
  podSpec,
  release,
} from '../support/e2e.ts';
import { chart } from '../support/helm.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

const everyKind =
  'deployments,daemonsets,replicasets,services,secrets,configmaps,serviceaccounts,roles,rolebindings,leases,' +
  'clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,customresourcedefinitions';

export const lifecycle: Chapter = (e2e) => {
  const upgrade = (...flags: string[]) =>
    e2e().helm(
      ...['upgrade', release.name, chart, '--reset-then-reuse-values', '--wait', '--timeout=180s'],
      ...flags,
    );

  describe('upgrade and end', () => {
    test('an upgrade fails no creation of a pod and leaves no moment without a gate', async () => {
      let isUpgrading = true;
      const creating = (async () => {
        let created = 0;
        for (; isUpgrading; created++) {
          const name = `load-${created}`;
          const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'shop' }, spec: podSpec };
          await e2e().apply(pod);
          await e2e().ask('delete', 'pod', name, '-n', 'shop', '--wait=false', '--grace-period=0', '--force');
        }
        return created;
      })();
      const pod = await e2e().podOf('shop', 'web');
      const trying = (async () => {
        const codes = new Set<number | null>();
        while (isUpgrading) codes.add((await e2e().sh('shop', pod, dropAndRun)).exitCode);
        return [...codes];
      })();
      await upgrade('--set', 'clusterName=blue').finally(() => {
        isUpgrading = false;
      });
      assert.ok((await creating) > 5);
      assert.deepEqual(await trying, [126]);
    });

    test('the emergency stop refuses nothing and goes on telling; a rollback ends it', async () => {
      const pod = await e2e().podOf('shop', 'web');
      await upgrade('--set', 'agent.mode=observe');
      assert.equal((await e2e().sh('shop', pod, dropAndRun)).stdout, 'ran\n');
      await eventually('it is told', async () =>
        (await e2e().documents()).find(
          ({ orchestrator, d4c_gate }) => orchestrator?.resource.name === pod && d4c_gate.mode === 'observe',
        ),
      );
      await e2e().helm('rollback', release.name, '--wait', '--timeout=180s');
      await eventually(
        'it is refused again',
        async () => (await e2e().sh('shop', pod, dropAndRun)).exitCode === 126,
        10_000,
      );
    });

    test('an uninstall leaves no object and no mark, and needs nothing of what it leaves on pods', async () => {
      await e2e().helm('uninstall', release.name, '--wait', '--timeout=120s');
      const left = await e2e().ask(
        'get',
        everyKind,
        '-A',
        '-l',
        'app.kubernetes.io/name=d4c-gate',
        '-o',
        'name',
      );
      assert.equal(left, '');
      const pod = await e2e().podOf('shop', 'web');
      assert.equal((await e2e().sh('shop', pod, dropAndRun)).stdout, 'ran\n');
      await e2e().apply(deployment('shop', 'afterwards'));
      await e2e().podOf('shop', 'afterwards');
      await e2e().ask('annotate', 'pod', pod, '-n', 'shop', '--overwrite', 'd4c-gate.io/policies=whatever');
    });

    test('another installation begins where labels of namespaces left off', async () => {
      await e2e().helm(...installArguments);
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
      const pod = await e2e().podOf('shop', 'web');
      await eventually(
        'it is refused',
        async () => (await e2e().sh('shop', pod, dropAndRun)).exitCode === 126,
        10_000,
      );
      await eventually(
        'what somebody wrote meanwhile is mended',
        async () =>
          (await e2e().ask(
            'get',
            'pod',
            pod,
            '-n',
            'shop',
            '-o',
            'jsonpath={.metadata.annotations.d4c-gate\\.io/policies}',
          )) === 'no-programs-in-tmp',
        30_000,
      );
      await e2e().helm('uninstall', release.name, '--wait', '--timeout=120s');
    });
  });
};
