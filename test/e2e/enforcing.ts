/** A namespace that enforces: pods are annotated and run, and what policies forbid does not happen. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deployment, dropAndRun, namespaceObject, podImage, podSpec } from '../support/e2e.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

const imageName = podImage.replace(/:[^:/]*$/, '');

export const enforcing: Chapter = (e2e) => {
  const annotationOf = (pod: string) =>
    e2e().ask(
      'get',
      'pod',
      pod,
      '-n',
      'shop',
      '-o',
      'jsonpath={.metadata.annotations.d4c-gate\\.io/policies}',
    );

  describe('enforcing', () => {
    test('a Deployment’s pod is annotated and runs', async () => {
      await e2e().apply(namespaceObject('shop', 'enforce'));
      await e2e().apply(deployment('shop', 'web'));
      assert.equal(await annotationOf(await e2e().podOf('shop', 'web')), 'no-programs-in-tmp');
    });

    test('a dropped program is refused, and the alert says where and by what', async () => {
      const pod = await e2e().podOf('shop', 'web');
      const { exitCode, stderr } = await e2e().sh('shop', pod, dropAndRun);
      assert.equal(exitCode, 126);
      assert.match(stderr, /not permitted/);
      const document = await eventually('it is alerted', async () =>
        (await e2e().documents()).find(({ orchestrator }) => orchestrator?.resource.name === pod),
      );
      const clusterId = await e2e().ask('get', 'namespace', 'kube-system', '-o', 'jsonpath={.metadata.uid}');
      const ip = await e2e().ask('get', 'pod', pod, '-n', 'shop', '-o', 'jsonpath={.status.podIP}');
      const node = await e2e().ask('get', 'pod', pod, '-n', 'shop', '-o', 'jsonpath={.spec.nodeName}');
      const { orchestrator, container, cloud_defend, d4c_gate, event, host, process } = document;
      assert.deepEqual(
        {
          namespace: orchestrator?.namespace,
          clusterId: orchestrator?.cluster?.id,
          ip: orchestrator?.resource.ip,
          owner: orchestrator?.resource.parent?.type,
          hasLabel: orchestrator?.resource.label.includes('app:web'),
          image: container.image?.name,
          policy: cloud_defend.package_policy_id,
          outcome: d4c_gate.outcome,
          type: event.type,
          executable: process.executable,
          node: host.name,
        },
        {
          namespace: 'shop',
          clusterId,
          ip: [ip],
          owner: 'ReplicaSet',
          hasLabel: true,
          image: imageName,
          policy: 'no-programs-in-tmp',
          outcome: 'prevented',
          type: ['start', 'denied'],
          executable: '/tmp/busybox-dropped',
          node,
        },
      );
    });

    test('a pod whose first program is forbidden never runs it', async () => {
      const forbidden = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'forbidden', namespace: 'shop' },
        spec: {
          ...podSpec,
          restartPolicy: 'Never',
          volumes: [{ name: 'made', emptyDir: {} }],
          initContainers: [
            { ...podSpec.containers[0], name: 'drop', command: ['/bin/sh', '-c', dropAndRun] },
          ],
        },
      };
      await e2e().apply(forbidden);
      const code = await eventually(
        'its init container has ended',
        async () =>
          (await e2e().ask(
            'get',
            'pod',
            'forbidden',
            '-n',
            'shop',
            '-o',
            'jsonpath={.status.initContainerStatuses[0].state.terminated.exitCode}',
          )) || undefined,
        30_000,
      );
      assert.equal(code, '126');
    });

    test('a forged annotation is refused', async () => {
      const forged = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'forged', namespace: 'shop', annotations: { 'd4c-gate.io/policies': '' } },
        spec: podSpec,
      };
      await e2e()
        .apply(forged)
        .then(
          // What the webhook writes wins over what the author wrote.
          async () => assert.equal(await annotationOf('forged'), 'no-programs-in-tmp'),
          (error: Error) => assert.match(error.message, /d4c-gate/),
        );
      const pod = await e2e().podOf('shop', 'web');
      const annotate = ['annotate', 'pod', pod, '-n', 'shop', '--overwrite', 'd4c-gate.io/policies='];
      await e2e().kubectl(annotate);
      assert.equal(await annotationOf(pod), 'no-programs-in-tmp');
    });

    test('an interactive session is refused where a policy says so, and another command is not', async () => {
      const pod = await e2e().podOf('shop', 'web');
      const noSessions = {
        apiVersion: 'd4c-gate.io/v1alpha1',
        kind: 'ContainerPolicy',
        metadata: { name: 'no-sessions' },
        spec: {
          process: {
            selectors: [{ name: 'sessions', operation: ['exec'], sessionLeaderInteractive: true }],
            responses: [{ match: ['sessions'], actions: ['alert', 'block'] }],
          },
        },
      };
      await e2e().apply(noSessions);
      const output = await eventually(
        'the session is refused',
        async () => {
          const { exitCode, stdout } = await e2e().session('shop', pod, '/bin/sh', '-c', 'echo began');
          return exitCode !== 0 && stdout;
        },
        10_000,
      );
      assert.equal(output.includes('began'), false);
      assert.match(output, /no-sessions/);
      assert.equal((await e2e().sh('shop', pod, 'echo ran')).stdout, 'ran\n');
      await e2e().ask('delete', 'containerpolicy', 'no-sessions');
    });

    test('an ephemeral container is covered', async () => {
      const pod = await e2e().podOf('shop', 'web');
      const debug = ['debug', pod, '-n', 'shop', `--image=${podImage}`, '--image-pull-policy=IfNotPresent'];
      const line = `${dropAndRun}; echo ended with $?; sleep 1000`;
      await e2e().ask(...debug, '--container=probe', '--attach=false', '--', '/bin/sh', '-c', line);
      const output = await eventually(
        'it has tried',
        async () => {
          const { stdout } = await e2e().kubectl(['logs', pod, '-n', 'shop', '-c', 'probe']);
          return stdout.includes('ended with') && stdout;
        },
        30_000,
      );
      assert.match(output, /ended with 126/);
    });
  });
};
