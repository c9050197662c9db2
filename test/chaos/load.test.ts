/** Too many of everything: what is lost is counted, nobody hangs, and no verdict is wrong. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { setTimeout as rest } from 'node:timers/promises';
import { startAgent } from '../support/agent.ts';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gatedContainers, gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { keeperIn, keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must } from '../support/programs.ts';
import { bind } from '../support/runcConfig.ts';
import { lifetimeMs, sizes } from '../support/sizes.ts';
import { execTable, fileTable, type TestGate, tableOf, testGate } from '../support/testGate.ts';

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

/** Numbers that the process keeps: those of events come and go. */
async function kept(pid: number): Promise<Set<number>> {
  const look = async () => (await readdir(`/proc/${pid}/fd`)).map(Number);
  let found = await look();
  for (let again = 0; again < 8; again++) {
    const now = new Set(await look());
    found = found.filter((number) => now.has(number));
  }
  return new Set(found);
}

/** Has the process make no descriptor beyond the lowest `count` numbers that are free. */
async function leave(pid: number, count: number): Promise<void> {
  const used = await kept(pid);
  let limit = 0;
  for (let left = count; left > 0; limit++) if (!used.has(limit)) left--;
  await must('prlimit', ['--pid', String(pid), `--nofile=${limit}:`]);
}

/** An event takes one descriptor; more are wanted to find out whose it is, and what it does. Until the lack is counted. */
async function withTheLastDescriptors(gate: TestGate): Promise<void> {
  const [keeper = 0] = await keepersOf(gate.pid);
  for (let round = 0; round < 5 && gate.failures.length === 0; round++) {
    try {
      for (const count of [1, 2, 3, 4, 5, 6]) {
        await leave(keeper, count);
        await rest(200);
      }
    } finally {
      await must('prlimit', ['--pid', String(keeper), '--nofile=1024:']);
    }
  }
  await eventually('the lack is counted', () => gate.failures.length > 0);
}

test('with the last descriptors, an open that a rule refuses is refused', { skip }, async (t) => {
  const { gate, containers } = await gatedContainers(t, host, { count: 1, name: 'last-open' });
  const [container] = containers as [Container];
  const opening = opener(container, 'poll', '/etc/passwd', '/tmp/enough', 'WRONLY');
  await eventually('it is refused', async () => (await gate.stats()).denied > 100);
  await withTheLastDescriptors(gate);
  await container.sh('touch /tmp/enough');
  const [opens = 0, refused] = (await opening).split(' ').map(Number);
  assert.equal(refused, opens);
});

for (const [program, path, table] of [
  ['a program that a rule refuses', '/bin/opener', execTable(['/bin/opener'], ['alert', 'block'])],
  [
    'a program that is not of the image',
    '/tmp/dropped',
    fileTable(['createExecutable'], ['/**'], ['alert', 'block']),
  ],
] as const) {
  test(`with the last descriptors, ${program} is refused`, { skip }, async (t) => {
    const id = `${containerPrefix}${process.pid}-last-${path.replaceAll('/', '-')}`;
    const container = await host.startRunc({ id });
    t.after(container.remove);
    await container.sh('cp /bin/opener /tmp/dropped');
    const gate = await testGate({ tables: { [id]: table } });
    t.after(gate.close);
    await gate.ask({ type: 'adopt', key: await gate.keyOf(id), pid: container.pid });
    // 126: it could not be executed.
    const line = `while [ ! -e /tmp/enough ]; do ${path}; [ $? -eq 126 ] || echo ran; done 2> /dev/null`;
    const executing = container.sh(line);
    await eventually('it is refused', async () => (await gate.stats()).denied > 10);
    await withTheLastDescriptors(gate);
    await container.sh('touch /tmp/enough');
    assert.equal((await executing).stdout, '');
  });
}

// The kernel refuses them, and they try again at once: nothing slows them down.
test('openers without end who find no descriptor leave the machine to others', { skip }, async (t) => {
  const { gate, containers } = await gatedContainers(t, host, { count: 1, name: 'crowd' });
  const [container] = containers as [Container];
  const [keeper = 0] = await keepersOf(gate.pid);
  const others = [1, 2].map(() => spawn('timeout', ['30', 'sh', '-c', 'while :; do :; done']));
  t.after(() => others.map((other) => other.kill()));
  const polling = container.sh('for i in $(seq 24); do /bin/opener poll /etc/group 8000 RDONLY & done; wait');
  await rest(500);
  await leave(keeper, 2);
  let longestMs = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
  }, 20);
  const { exitCode } = await polling;
  clearInterval(timer);
  await must('prlimit', ['--pid', String(keeper), '--nofile=1024:']);
  assert.equal(exitCode, 0);
  assert.ok(gate.failures.some(({ failure }) => failure === 'event_unread'));
  t.diagnostic(`another process waited for ${Math.round(longestMs)} ms at most`);
  assert.ok(longestMs < 1_000, `${longestMs} ms`);
});

test('a volume of files that was opened with the last descriptors is known as one afterwards', {
  skip,
}, async (t) => {
  const id = `${containerPrefix}${process.pid}-last-volume`;
  const settings = join(host.folder, 'pods/6a1c/volumes/kubernetes.io~configmap/settings');
  await mkdir(settings, { recursive: true });
  const container = await host.startRunc({ id, volumes: [bind(settings, '/config')] });
  t.after(container.remove);
  await container.sh('mkfifo /tmp/go');
  const write = 'echo one > /config/file && echo written || echo refused';
  const writing = container.sh(`read x < /tmp/go; for i in 1 2 3 4 5 6 7 8; do ${write}; done`);
  const where = { targetFilePath: ['/config/**'], ignoreVolumeFiles: true };
  const selectors = [{ name: 'settings', operation: ['modifyFile', 'createFile'], ...where }];
  const rules = { selectors, responses: [{ match: ['settings'], actions: ['alert', 'block'] }] };
  const gate = await testGate({ tables: { [id]: tableOf({ file: rules }) } });
  t.after(gate.close);
  await gate.ask({ type: 'adopt', key: await gate.keyOf(id), pid: container.pid });
  const [keeper = 0] = await keepersOf(gate.pid);
  try {
    await leave(keeper, 1);
    await writeFile(`/proc/${container.pid}/root/tmp/go`, 'go\n');
    assert.match((await writing).stdout, /refused/);
  } finally {
    await must('prlimit', ['--pid', String(keeper), '--nofile=1024:']);
  }
  assert.equal((await container.sh(write)).stdout, 'written\n');
});

test('a volume of a container whose first exec came with the last descriptors is gated afterwards', {
  skip,
}, async (t) => {
  const id = `${containerPrefix}${process.pid}-last-mounts`;
  const data = await mkdtemp(join(host.folder, 'data-'));
  const container = await host.startRunc({ id, volumes: [bind(data, '/data')] });
  t.after(container.remove);
  await container.sh('mkfifo /tmp/go');
  const running = container.sh('read x < /tmp/go; for i in 1 2 3 4 5 6 7 8; do /bin/true && echo ran; done');
  const table = fileTable(['createFile'], ['/data/**'], ['alert', 'block']);
  const gate = await testGate({ publish: 'found', tables: { [id]: table } });
  t.after(gate.close);
  await gate.keyOf(id);
  await gate.stats();
  const [keeper = 0] = await keepersOf(gate.pid);
  try {
    await leave(keeper, 1);
    await writeFile(`/proc/${container.pid}/root/tmp/go`, 'go\n');
    assert.match((await running).stdout, /ran/);
    const unread = ({ failure, detail }: TestGate['failures'][number]) =>
      failure === 'volume_unwatched' && detail.endsWith('its mounts cannot be read: Too many open files');
    await eventually('it is counted', () => gate.failures.find(unread));
  } finally {
    await must('prlimit', ['--pid', String(keeper), '--nofile=1024:']);
  }
  const write = 'echo one > /data/file && echo written || echo refused';
  assert.equal((await container.sh(write)).stdout, 'refused\n');
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
