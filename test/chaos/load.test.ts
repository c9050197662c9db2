/** Too many of everything: what is lost is counted, nobody hangs, and no verdict is wrong. */

import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { startAgent } from '../support/agent.ts';
import type { ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keeperIn } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must } from '../support/programs.ts';
import { lifetimeMs, sizes } from '../support/sizes.ts';
import { testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

test('out of descriptors, an open is refused and counted, and the gate goes on', { skip }, async (t) => {
  const id = `${containerPrefix}${process.pid}-descriptors`;
  const container = await host.startRunc({ id });
  t.after(container.remove);
  await container.sh('mkfifo /tmp/go');
  // Each of them waits at its exec, and each that waits takes a descriptor.
  const line = 'echo ready; read x < /tmp/go; for i in $(seq 150); do /bin/true & done; wait; echo all ended';
  const running = container.sh(line);
  const options = { holdMs: 60_000 };
  const gate = await testGate({ publish: 'never', options }, ['prlimit', '--nofile=96:96']);
  t.after(gate.close);
  const key = await gate.keyOf(id);
  await gate.ask({ type: 'adopt', key, pid: container.pid });
  await writeFile(`/proc/${container.pid}/root/tmp/go`, 'go\n');
  await eventually('it is counted', () => gate.failures.find(({ failure }) => failure === 'event_unread'));
  await gate.ask({ type: 'publish', key, table: null, generation: 1 });
  const { stdout, stderr } = await running;
  assert.match(stdout, /all ended/);
  assert.match(stderr, /not permitted/);

  const crowd = host.startRunc({ id: `${id}-2` }).then(async (other) => {
    t.after(other.remove);
    return other;
  });
  const otherKey = await gate.keyOf(`${id}-2`);
  await gate.ask({ type: 'publish', key: otherKey, table: null, generation: 1 });
  assert.equal((await (await crowd).sh('echo ran')).stdout, 'ran\n');
});

const policy = (name: string) => `
file:
  selectors: [{ name: ${name}, operation: [modifyFile], targetFilePath: [/etc/passwd], containerImageName: [busy] }]
  responses: [{ match: [${name}], actions: [alert, block] }]
`;
const image = { 'org.opencontainers.image.ref.name': 'registry.example/busy:1' };

test('policies that change every 100 ms, containers that come and go, a flood and an output that hangs', {
  skip,
}, async (t) => {
  const own = await mkdtemp(join(host.folder, 'storm-'));
  const keeper = keeperIn(own);
  const flags = ['--containerd-socket', host.containerdSocket, ...keeper.flags, '--output', 'stdout'];
  const agent = await startAgent(own, { policy: policy('first') }, ...flags);
  t.after(async () => {
    await agent.stop('SIGKILL');
    await keeper.end();
  });
  const container = await host.startRunc({ annotations: image });
  t.after(container.remove);
  await eventually('it is bound', () => agent.log().includes(`"container":"${container.id}"`));

  const openers = 4;
  const polls = `for i in $(seq ${openers}); do /bin/opener poll /etc/passwd /tmp/stop WRONLY & done; wait`;
  const limitMs = lifetimeMs / 2;
  const sh = (line: string) => must('runc', ['exec', container.id, '/bin/sh', '-c', line], { limitMs });
  const polling = sh(polls);
  const flood = sh(`for i in $(seq ${sizes.starts * 125}); do : > /tmp/noise; rm /tmp/noise; done`);
  let isOver = false;
  const swapping = (async () => {
    for (let swap = 0; !isOver; swap++) {
      await agent.writePolicy('policy', policy(swap % 2 === 0 ? 'second' : 'first'));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  const churn = Array.from({ length: 3 }, async () => {
    for (let start = 0; start < sizes.starts / 3; start++) {
      const { exitCode, stderr } = await host.runRunc({ annotations: image, args: ['/bin/true'] });
      assert.equal(exitCode, 0, stderr);
    }
  });
  await Promise.all([flood, ...churn]);
  isOver = true;
  await swapping;
  await sh('mkdir /tmp/stop');
  const lines = (await polling).stdout.trim().split('\n');
  assert.equal(lines.length, openers);
  for (const line of lines) {
    const [opens, refused, longestUs = 0] = line.split(' ').map(Number);
    assert.equal(refused, opens);
    assert.ok(longestUs <= 300_000, `${longestUs} us`);
  }

  // Nobody has read a line until now. Each refusal is a document or was counted as lost.
  const sequences = new Set<number>();
  createInterface({ input: agent.stdout }).on('line', (line) => {
    sequences.add(JSON.parse(line).event.sequence);
  });
  let { denied = 0, eventsDropped = 0 } = await agent.status();
  await eventually(
    'all is told',
    async () => {
      ({ denied = 0, eventsDropped = 0 } = await agent.status());
      return sequences.size + eventsDropped >= denied;
    },
    60_000,
  );
  t.diagnostic(`${denied} refusals, ${sequences.size} documents, ${eventsDropped} counted as lost`);
  assert.equal(sequences.size + eventsDropped, denied);
  assert.equal(await agent.stop('SIGTERM'), 0);
});
