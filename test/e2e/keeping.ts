/** The gate while agents and keepers come and go. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dropAndRun, release } from '../support/e2e.ts';
import { eventually } from '../support/programs.ts';
import type { Chapter } from './e2e.test.ts';

/** Runs a forbidden program again and again, and notes each attempt and each success. */
const tryForEver =
  'cp /bin/busybox /tmp/forbidden; (while [ ! -e /tmp/enough ]; do /tmp/forbidden true && echo >> /tmp/ran; echo >> /tmp/tried; done) >/dev/null 2>&1 &';

/** Kills every agent of the node, from the agent's own pod: it sees the processes of the node. */
const killAgents = `
  const { readdirSync, readFileSync } = require('node:fs');
  for (const pid of readdirSync('/proc').filter(Number)) {
    try {
      if (/main\\.js\\0node\\0|d4c-gate\\0node\\0/.test(readFileSync('/proc/' + pid + '/cmdline', 'utf8'))) process.kill(pid, 'SIGKILL');
    } catch (error) { if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error; }
  }`;

export const keeping: Chapter = (e2e) => {
  const ownPods = ['-n', release.namespace, '-l'];
  const podNamed = async (component: 'agent' | 'keeper') =>
    e2e().ask(
      'get',
      'pods',
      ...ownPods,
      `app.kubernetes.io/component=${component}`,
      '-o',
      'jsonpath={.items[0].metadata.name}',
    );
  const isReady = async () => {
    const field = '{.status.numberReady}/{.status.desiredNumberScheduled}/{.status.updatedNumberScheduled}';
    const [ready, desired] = (
      await e2e().ask(
        'get',
        'daemonset',
        'd4c-gate-agent',
        '-n',
        release.namespace,
        '-o',
        `jsonpath=${field}`,
      )
    ).split('/');
    return ready === desired;
  };
  const counts = async (pod: string) => {
    const { stdout } = await e2e().sh(
      'shop',
      pod,
      'cat /tmp/tried | wc -l; cat /tmp/ran 2>/dev/null | wc -l',
    );
    const [tried = 0, ran = 0] = stdout.trim().split(/\s+/).map(Number);
    return { tried, ran };
  };

  describe('the gate', () => {
    test('holds while the agent is killed, and while its pod is deleted: not one forbidden program runs', async () => {
      const pod = await e2e().podOf('shop', 'web');
      await e2e().sh('shop', pod, tryForEver);
      await eventually('attempts are made', async () => (await counts(pod)).tried > 0);

      const agent = await podNamed('agent');
      // The agent may be gone before kubectl hears of the end of what it ran.
      await e2e().kubectl([
        'exec',
        '-n',
        release.namespace,
        agent,
        '--',
        '/usr/local/bin/node',
        '-e',
        killAgents,
      ]);
      const restarts = ['get', 'pod', agent, '-n', release.namespace, '-o'];
      await eventually(
        'the agent is started again',
        async () =>
          Number(await e2e().ask(...restarts, 'jsonpath={.status.containerStatuses[0].restartCount}')) > 0,
        60_000,
      );
      await eventually('it is ready', isReady, 60_000);

      await e2e().ask('delete', 'pod', agent, '-n', release.namespace, '--wait=true', '--timeout=45s');
      const before = await counts(pod);
      await eventually('another agent is ready', isReady, 60_000);
      const after = await counts(pod);
      assert.ok(after.tried > before.tried, 'nothing was tried without an agent');
      assert.equal(after.ran, 0, `of ${after.tried} attempts`);
      await e2e().sh('shop', pod, 'touch /tmp/enough');
    });

    test('says how it is, asked in the agent’s pod and in the keeper’s', async () => {
      for (const component of ['agent', 'keeper'] as const) {
        const { hasAgent, gate } = await e2e().status(component);
        assert.equal(hasAgent, true);
        const bound = gate.containers.filter(({ namespace }) => namespace === 'shop');
        assert.ok(bound.length > 0);
        assert.ok(bound.every(({ policies }) => policies.some(({ id }) => id === 'no-programs-in-tmp')));
      }
    });

    test('is back within seconds when the keeper’s pod is deleted, and the agent stays', async () => {
      const pod = await e2e().podOf('shop', 'web');
      const agent = await podNamed('agent');
      const keeper = await podNamed('keeper');
      await e2e().ask('delete', 'pod', keeper, '-n', release.namespace, '--wait=true', '--timeout=30s');
      await eventually(
        'it is refused again',
        async () => (await e2e().sh('shop', pod, dropAndRun)).exitCode === 126,
        20_000,
      );
      assert.notEqual(await podNamed('keeper'), keeper);
      assert.equal(await podNamed('agent'), agent);
    });
  });
};
