/** An agent that is out of memory is ended by the kernel. The keeper goes on, and nobody passes or waits until the next agent comes. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as rest } from 'node:timers/promises';
import { startAgent, type TestAgent } from '../support/agent.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keeperIn } from '../support/keeper.ts';
import { memoryGroup, memoryGroupRequirements } from '../support/memoryGroup.ts';
import { eventually, must } from '../support/programs.ts';

const openers = 4;
const ms = 6_000;
const policy = (name: string) => `
file:
  selectors: [{ name: ${name}, operation: [modifyFile], targetFilePath: [/etc/${name}], containerImageName: [kept] }]
  responses: [{ match: [${name}], actions: [alert, block] }]
`;

test('an agent that is out of memory is ended by the kernel: nothing passes, and the next one goes on', {
  skip: gateRequirements() ?? memoryGroupRequirements(),
}, async (t) => {
  const host = await gateHost();
  const keeper = keeperIn(host.folder);
  const group = await memoryGroup(8 << 20);
  const agents: TestAgent[] = [];
  t.after(async () => {
    for (const agent of agents) await agent.stop('SIGKILL');
    await keeper.end();
    await group.remove();
    await host.close();
  });
  const flags = ['--containerd-socket', host.containerdSocket, ...keeper.flags];
  const greedy = await startAgent(host.folder, { policy: policy('passwd') }, ...flags);
  agents.push(greedy);
  const annotations = { 'org.opencontainers.image.ref.name': 'registry.example/kept:1' };
  const { id } = await host.startRunc({ annotations });
  await eventually('it is bound', () => greedy.log().includes(`"container":"${id}"`));
  // It may have so much more than it has, and not what the documents and policies take that come.
  await group.add(greedy.pid);
  const line = `for i in $(seq ${openers}); do /bin/opener poll /etc/passwd ${ms} WRONLY & done; wait`;
  const polling = must('runc', ['exec', id, '/bin/sh', '-c', line], { limitMs: 4 * ms });

  const isAlive = () => existsSync(`/proc/${greedy.pid}`);
  for (let swap = 0; swap < 4_000 && isAlive(); swap++) {
    await greedy.writePolicy(`more-${swap % 20}`, policy(`other${swap}`));
    if (swap % 20 === 0) await rest(20);
  }
  await eventually('it is ended', () => !isAlive());
  assert.ok((await group.kills()) >= 1, 'the kernel has ended it for its memory');
  assert.ok(await keeper.isAlive());
  agents.push(await startAgent(host.folder, { policy: policy('passwd') }, ...flags));
  const all = (await polling).stdout
    .trim()
    .split('\n')
    .map((text) => text.split(' ').map(Number));
  assert.equal(all.length, openers);
  for (const [opens = 0, refused, longestUs = 0] of all) {
    t.diagnostic(`${opens} opens, the longest ${longestUs} us`);
    assert.ok(opens > 0);
    assert.equal(refused, opens);
    assert.ok(longestUs <= 300_000, `${longestUs} us`);
  }
});
