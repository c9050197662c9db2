/** What the keeper may do in its pod: containers of other users, in their folders, with nothing unseen and nothing left. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deployment, type E2eDocument, podSpec, release } from '../support/e2e.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

const policy = {
  apiVersion: 'd4c-gate.io/v1alpha1',
  kind: 'ContainerPolicy',
  metadata: { name: 'rights' },
  spec: {
    process: {
      selectors: [{ name: 'forks', operation: ['fork'], kubernetesPodLabel: ['app:rights'] }],
      responses: [{ match: ['forks'], actions: ['alert'] }],
    },
    file: {
      selectors: [
        {
          name: 'programs',
          operation: ['createExecutable', 'modifyExecutable'],
          targetFilePath: ['/**'],
          kubernetesPodLabel: ['app:rights'],
        },
        {
          name: 'refused',
          operation: ['createFile'],
          targetFilePath: ['/tmp/**/refused'],
          kubernetesPodLabel: ['app:rights'],
        },
        {
          name: 'told',
          operation: ['createFile', 'deleteFile', 'modifyFile'],
          targetFilePath: ['/tmp/**'],
          kubernetesPodLabel: ['app:rights'],
        },
      ],
      responses: [
        { match: ['programs'], actions: ['alert', 'block'] },
        { match: ['refused'], actions: ['alert', 'block'] },
        { match: ['told'], actions: ['alert'] },
      ],
    },
  },
};

const user = { runAsUser: 1000, runAsGroup: 1000, runAsNonRoot: true };
const pod = {
  ...podSpec,
  containers: podSpec.containers.map((container) => ({
    ...container,
    securityContext: { ...user, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  })),
};

/** Failures that would mean that the keeper lacks a right, or comes too late. */
const ofRights = [
  'changes_unseen',
  'creation_unconfirmed',
  'drift_uncompared',
  'event_unread',
  'first_program_missed',
  'forks_unseen',
  'intent_unread',
  'mark_failed',
  'path_unread',
  'rollback_failed',
];

export const rights: Chapter = (e2e) => {
  describe('a container of another user', () => {
    const sh = async (line: string) => {
      const { exitCode, stdout, stderr } = await e2e().sh('shop', await e2e().podOf('shop', 'rights'), line);
      return { exitCode, stdout: stdout.trim(), stderr };
    };
    const told = (what: string, is: (document: E2eDocument) => boolean) =>
      eventually(
        `${what} is told`,
        async () =>
          (await e2e().documents()).find(
            (document) => document.orchestrator?.resource.name?.startsWith('rights-') && is(document),
          ),
        10_000,
      );

    test('is bound', async () => {
      await e2e().apply(policy, deployment('shop', 'rights', pod));
      await eventually(
        'its policy is in force',
        async () => (await sh('mkdir -p /tmp/own; true > /tmp/own/refused')).exitCode !== 0,
        10_000,
      );
    });

    test('leaves no file of a refused creation, in its own folder and in a sticky one', async () => {
      assert.equal((await sh('stat -c %u:%a /tmp/own')).stdout, '1000:755');
      const line =
        'mkdir -p /tmp/a; for i in own a; do true > /tmp/$i/refused && echo made; done; ls /tmp/own /tmp/a';
      assert.equal((await sh(line)).stdout.includes('refused'), false);
      assert.equal((await sh(line)).stdout.includes('made'), false);
      const sticky = 'mkdir -m 1777 -p /tmp/sticky; true > /tmp/sticky/refused && echo made; ls /tmp/sticky';
      assert.equal((await sh(sticky)).stdout, '');
    });

    test('loses the execute bits that it gives a file, and cannot run it meanwhile', async () => {
      const made = 'cat /bin/busybox > /tmp/own/data; chmod 755 /tmp/own/data; /tmp/own/data echo ran';
      const { exitCode, stdout } = await sh(made);
      assert.deepEqual([exitCode, stdout], [126, '']);
      await eventually(
        'the bits are taken back',
        async () => (await sh('stat -c %a /tmp/own/data')).stdout === '644',
      );
      await told(
        'chmod',
        ({ file, d4c_gate }) => file?.path === '/tmp/own/data' && d4c_gate.outcome === 'reverted',
      );
    });

    test('is seen to rename, link and delete', async () => {
      await sh('cd /tmp/own && echo a > old && mv old renamed && ln renamed linked && rm renamed');
      await told('rename', ({ file }) => file?.path === '/tmp/own/renamed');
      await told('link', ({ file }) => file?.path === '/tmp/own/linked');
      await told(
        'unlink',
        ({ file, event }) => file?.path === '/tmp/own/renamed' && event.type.includes('deletion'),
      );
    });

    test('is seen to fork', async () => {
      await sh('(/bin/true); /bin/true');
      await told('fork', ({ event }) => event.action === 'fork');
    });

    test('has shown everything to a keeper with the rights of the chart', async () => {
      const { gate } = await e2e().status('agent');
      const lacking = Object.keys(gate.failures).filter((failure) => ofRights.includes(failure));
      const agent = 'app.kubernetes.io/component=agent';
      const log = await e2e().ask('logs', '-n', release.namespace, '-l', agent, '--tail=-1');
      const said = log.split('\n').filter((line) => lacking.some((failure) => line.includes(`"${failure}"`)));
      assert.deepEqual(lacking, [], `${JSON.stringify(gate.failures)}\n${said.slice(-5).join('\n')}`);
      await e2e().ask('delete', 'containerpolicy', 'rights');
      await e2e().ask('delete', 'deployment', 'rights', '-n', 'shop', '--wait=false');
    });
  });
};
