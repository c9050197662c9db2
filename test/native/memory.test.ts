/** What the keeper needs with many containers and policies. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openGate } from '../../src/native/gate.ts';
import { flatten } from '../../src/node/flatten.ts';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import { readPolicy } from '../../src/policy/read.ts';
import type { Workload } from '../../src/policy/types.ts';
import { gateRequirements, hostWithKeeper } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix, folderPrefix } from '../support/leftovers.ts';
import { eventually, must, run } from '../support/programs.ts';
import { execTable, fileTable, testGate } from '../support/testGate.ts';

const containers = 100;
const policyCount = 10;
const limitKib = 4 * 1024;

/** Ten policies as administrators write them: a dozen paths and some programs each. */
const bound = Array.from({ length: policyCount }, (_, index) => {
  const folders = [
    'bin',
    'sbin',
    'usr/bin',
    'usr/sbin',
    'usr/local/bin',
    'lib',
    'usr/lib',
    'etc',
    'opt',
    'srv',
  ];
  const read = readPolicy(
    JSON.stringify({
      file: {
        selectors: [
          {
            name: 'programs',
            operation: ['createExecutable', 'modifyExecutable'],
            targetFilePath: folders.map((folder) => `/${folder}/app-${index}/**`),
          },
          {
            name: 'logs',
            operation: ['modifyFile'],
            targetFilePath: ['/var/log/**', `/data/${index}/*.log`],
          },
        ],
        responses: [{ match: ['programs'], exclude: ['logs'], actions: ['alert', 'block'] }],
      },
      process: {
        selectors: [{ name: 'shells', operation: ['exec'], processName: ['sh', 'bash', `tool-${index}`] }],
        responses: [{ match: ['shells'], actions: ['alert'] }],
      },
    }),
    { mode: 'lenient' },
  );
  assert.ok(read.policy, JSON.stringify(read.faults));
  return bind(compile(`policy-${index}`, read.policy), {} as Workload);
});

/** Names as long as they may well be. Kept for each container by itself, they would take 2 MiB more. */
const rules = bound.map((_, index) => {
  const selectors = Array.from({ length: 12 }, (__, at) => `what-rule-${at}-of-this-policy-speaks-of`);
  return { id: `namespace-${index}/policy-of-application-${index}`, file: selectors, process: selectors };
});

async function memoryOf(pid: number): Promise<{ readonly kib: number; readonly ownKib: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kibOf = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return { kib: kibOf('VmRSS'), ownKib: kibOf('RssAnon') };
}

test(`${containers} containers and ${policyCount} policies take at most 4 MiB`, {
  skip: gateRequirements(),
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), `${folderPrefix}${process.pid}-memory-`));
  const gate = await openGate({
    mode: 'enforce',
    holdMs: 2_000,
    onUnknown: 'allow',
    onContainer: ({ key }) => gate.publish(key, flatten(bound, 'allow'), 1, 'x'.repeat(500), rules),
    onFirstExec: () => undefined,
    onContainerGone: () => undefined,
    onEvents: () => undefined,
    onFailure: () => undefined,
  });
  t.after(async () => {
    await gate.close();
    for (const name of await readdir(folder)) {
      if (name !== 'lower') await run('umount', ['--lazy', join(folder, name, 'rootfs')]);
    }
    await rm(folder, { recursive: true });
  });
  await mkdir(join(folder, 'lower'));
  for (let index = 0; index < containers; index++) {
    const own = join(folder, `${index}`);
    for (const name of ['upper', 'work', 'rootfs']) await mkdir(join(own, name), { recursive: true });
    const options = `lowerdir=${folder}/lower,upperdir=${own}/upper,workdir=${own}/work`;
    await must('mount', ['-t', 'overlay', 'overlay', '-o', options, join(own, 'rootfs')]);
  }
  await eventually('all are found', async () => (await gate.stats()).roots >= containers, 20_000);
  const [keeper = 0] = await keepersOf(process.pid);
  const { kib, ownKib } = await memoryOf(keeper);
  t.diagnostic(`${kib} KiB: ${ownKib} of its own`);
  assert.ok(kib <= limitKib, `${kib} KiB`);
});

test('a container whose programs have the longest arguments takes no more of the keeper than any other', {
  skip: gateRequirements(),
}, async (t) => {
  const limitKib = 24 * 1024;
  const queueEvents = 1_024;
  const { host, keeper } = await hostWithKeeper(t);
  const id = `${containerPrefix}${process.pid}-arguments`;
  const setUp = {
    options: { queueEvents },
    tables: { [id]: execTable(['/bin/*'], ['log']) },
    place: { how: 'start', socket: keeper.socket },
  } as const;
  const gate = await testGate(setUp);
  t.after(gate.close);
  const container = await host.startRunc({ id });
  t.after(container.remove);
  const pid = await keeper.pid();
  const loop = 'i=0; while [ $i -lt 1500 ]; do /bin/true "$0"; i=$((i+1)); done';
  /** The parent has such arguments, too. */
  const execute = () => container.sh(`exec /bin/sh -c '${loop}' $(head -c 15000 /dev/zero | tr '\\0' x)`);
  const check = async (when: string): Promise<void> => {
    const { kib } = await memoryOf(pid);
    t.diagnostic(`${when}: ${kib} KiB`);
    assert.ok(kib <= limitKib, `${kib} KiB`);
  };
  assert.equal((await execute()).exitCode, 0);
  await check('told at once');
  await gate.kill();
  assert.equal((await execute()).exitCode, 0);
  await check('kept until an agent comes');
  const next = await testGate(setUp);
  t.after(next.close);
  const { eventsDropped } = await next.stats();
  assert.ok(eventsDropped > 1_500 - queueEvents, `${eventsDropped} dropped`);
  await eventually('they are counted', () =>
    next.failures.find(({ failure }) => failure === 'event_report_dropped'),
  );
});

test('a container with many folders far below others takes no more of the keeper than any other', {
  skip: gateRequirements(),
}, async (t) => {
  const limitKib = 15 * 1024;
  const { host, keeper } = await hostWithKeeper(t);
  const id = `${containerPrefix}${process.pid}-folders`;
  const container = await host.startRunc({ id });
  t.after(container.remove);
  // Together their paths take 18 MiB.
  const line =
    'cd /tmp; for i in $(seq 15); do n=$(printf %0240d $i); mkdir $n; cd $n; done; seq 5000 | xargs mkdir';
  assert.equal((await container.sh(line)).exitCode, 0);
  const gate = await testGate({
    publish: 'found',
    tables: { [id]: fileTable(['createExecutable'], ['/**'], ['alert', 'block']) },
    place: { how: 'start', socket: keeper.socket },
  });
  t.after(gate.close);
  await gate.ask({ type: 'adopt', key: await gate.keyOf(id), pid: container.pid });
  // It is told when all that lies there was looked at.
  await container.sh('echo x > /tmp/new; chmod +x /tmp/new');
  await gate.event(({ path, kind }) => path === '/tmp/new' && kind === 'attributes');
  const status = await readFile(`/proc/${await keeper.pid()}/status`, 'utf8');
  const kib = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]);
  t.diagnostic(`${kib} KiB`);
  assert.ok(kib <= limitKib, `${kib} KiB`);
});
