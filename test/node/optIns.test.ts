/** What an operator may switch on besides: ends of processes, no programs without a file, no scripts. And what status counts. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { statusOf, statusText } from '../../src/cli/statusText.ts';
import { readKeeperStatus } from '../../src/native/keeperStatus.ts';
import { startAgent, type TestAgent, type WrittenDocument } from '../support/agent.ts';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { keeperIn, type TestKeeper } from '../support/keeper.ts';
import { eventually, isInstalled } from '../support/programs.ts';
import { fileTable, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
const setting = '/proc/sys/vm/memfd_noexec';
const noSetting = existsSync(setting) ? undefined : 'needs Linux 6.3 (vm.memfd_noexec)';

const policy = `
file:
  selectors:
    - name: programs
      operation: [createExecutable, modifyExecutable]
  responses:
    - match: [programs]
      actions: [alert, block]
process:
  selectors:
    - name: all
      operation: [fork, exec]
  responses:
    - match: [all]
      actions: [log]
`;

describe('with opt-ins', { skip }, () => {
  let folder: string;
  let host: ContainerHost;
  let keeper: TestKeeper;
  let agent: TestAgent;
  let running: Container;
  let fresh: Container;
  const ofHost = noSetting === undefined ? readFileSync(setting, 'utf8') : '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'd4c-gate-opt-ins-'));
    host = await gateHost();
    keeper = keeperIn(folder);
    running = await host.startRunc({ args: ['/bin/sh', '-c', 'while sleep 0.2; do (:); done'] });
    const optIns = ['--memfd-noexec', '--process-ends', '--block-scripts'];
    agent = await startAgent(folder, { all: policy }, ...keeper.flags, ...optIns);
    fresh = await host.startRunc();
  });
  after(async () => {
    await agent?.stop();
    await keeper?.end();
    await host?.close();
    await rm(folder, { recursive: true });
  });

  const documentsOf = async (container: Container, action: string): Promise<WrittenDocument[]> =>
    (await agent.documents()).filter(
      ({ container: { id }, event }) => id === container.id && event.action === action,
    );

  test('a process that ran before the agent came is told to fork', async () => {
    const fork = await eventually('a fork of it is told', async () =>
      (await documentsOf(running, 'fork')).find(({ process }) => process.parent?.pid === running.pid),
    );
    assert.deepEqual(fork.event.type, ['start']);
    assert.match(fork.process.parent?.executable ?? '', /busybox|\/sh$/);
  });

  test('the end of each process that was told to begin is told, with its exit code', async () => {
    await fresh.exec('/bin/sh', '-c', 'exit 7');
    await fresh.exec('/bin/sh', '-c', 'kill -9 $$');
    const ends = await eventually('both ends are told', async () => {
      const found = await documentsOf(fresh, 'end');
      return [7, 137].every((code) => found.some(({ process }) => process.exit_code === code)) && found;
    });
    const [end] = ends.filter(({ process }) => process.exit_code === 7);
    assert.deepEqual(
      [end?.event.type, end?.process.args, end?.cloud_defend.hook_point],
      [['end'], ['/bin/sh', '-c', 'exit 7'], 'proc_connector__exit'],
    );
    const [begin] = (await documentsOf(fresh, 'exec')).filter(
      ({ process }) => process.pid === end?.process.pid,
    );
    assert.equal(begin?.process.entity_id, end?.process.entity_id);
    const { stdout } = await fresh.sh('for i in $(seq 50); do /bin/true; done; echo done');
    assert.equal(stdout, 'done\n');
    await eventually('nobody ends untold', async () => {
      const begun = new Set((await documentsOf(fresh, 'exec')).map(({ process }) => process.entity_id));
      for (const { process } of await documentsOf(fresh, 'end')) begun.delete(process.entity_id);
      // The container's own program goes on.
      return begun.size === 1;
    });
  });

  test('programs without a file are refused by the kernel in the containers, and the host is as it was', async (t) => {
    if (noSetting !== undefined) return t.skip(noSetting);
    for (const container of [fresh, running]) {
      await eventually('it is set', async () => (await container.exec('/bin/cat', setting)).stdout === '2\n');
      assert.equal(await opener(container, 'memory', '/bin/busybox', 'echo', 'ran'), 'EACCES');
    }
    assert.equal(readFileSync(setting, 'utf8'), ofHost);
  });

  test('the setting of the host’s pid namespace is not touched for a container that has it, and status says so', async (t) => {
    const shared = await host.startRunc({ sharesProcesses: true });
    t.after(shared.remove);
    assert.equal(await opener(shared, 'memory', '/bin/busybox', 'echo', 'ran'), 'ran');
    if (noSetting === undefined) assert.equal(readFileSync(setting, 'utf8'), ofHost);
    const status = statusOf(await readKeeperStatus(keeper.socket));
    const found = status.gate?.containers.find(({ id }) => id === shared.id);
    assert.equal(found?.memfdNoexec, 'shared');
    assert.match(statusText(status), /memfd programs POSSIBLE \(shared\)/);
  });

  test('status counts for each container and rule what became of operations', async (t) => {
    const other = await host.startRunc();
    t.after(other.remove);
    await other.dropAndRun('/tmp/busybox-x');
    const linesOf = async ({ id }: typeof other) =>
      statusOf(await readKeeperStatus(keeper.socket)).gate?.containers.find((one) => one.id === id)?.ledger;
    assert.equal((await linesOf(other))?.find(({ selector }) => selector === 'programs')?.prevented, 1);
    // It counted by the same rules, and what it counted goes with it.
    await other.remove();
    await eventually('it is gone', async () => (await linesOf(other)) === undefined);
    await fresh.dropAndRun('/tmp/busybox-x');
    await fresh.sh('echo echo ran > /tmp/script; sh /tmp/script');
    const status = statusOf(await readKeeperStatus(keeper.socket));
    const found = status.gate?.containers.find(({ id }) => id === fresh.id);
    const line = found?.ledger.find(({ selector }) => selector === 'programs');
    assert.deepEqual(line, {
      ...{ policy: 'all', section: 'file', selector: 'programs' },
      ...{ prevented: 2, contained: 0, reverted: 0, detected: 0 },
    });
    assert.ok((found?.ledger.find(({ selector }) => selector === 'all')?.detected ?? 0) > 50);
    assert.equal(found?.memfdNoexec, noSetting === undefined ? 'set' : 'failed');
    const text = statusText(status);
    assert.match(text, /so far file programs: 2 prevented\n/);
    assert.match(
      text,
      /block programs: createExecutable is prevented; without an open contained \(fanotify\)/,
    );
  });

  test('a script that is not of the image is refused to its interpreter, with a document that names both', async () => {
    const document = await eventually('it is told', async () =>
      (await agent.documents()).find(({ file }) => file?.path === '/tmp/script'),
    );
    assert.deepEqual(
      [document.event.action, document.event.type, document.d4c_gate.outcome],
      ['exec', ['start', 'denied'], 'prevented'],
    );
    assert.match(
      document.message,
      /^the execution of \/tmp\/script by \/bin\/\S+ in container .* was blocked, since it is not of/,
    );
    assert.equal((await fresh.sh('echo text > /tmp/data; cat /tmp/data')).stdout, 'text\n');
  });
});

/** As the keeper's pod sees the host: its own settings of the kernel may not be written, and it may do what the chart lets it. */
const asInPod = (hostRoot: string): string[] => [
  ...['unshare', '--mount', '--propagation', 'slave', 'sh', '-c'],
  [
    `mount --rbind / ${hostRoot}`,
    `mount -o remount,bind,ro ${hostRoot}`,
    'mount --bind /proc/sys /proc/sys',
    'mount -o remount,bind,ro /proc/sys',
    'exec setpriv --inh-caps=-all --bounding-set=-all,+sys_admin,+sys_ptrace,+dac_read_search,+dac_override,+fowner "$@"',
  ].join(' && '),
  'sh',
];

test('a keeper in a pod writes the setting through the host’s root filesystem', {
  skip: skip ?? noSetting,
}, async (t) => {
  if (!isInstalled('unshare') || !isInstalled('setpriv')) return t.skip('needs unshare, setpriv');
  const hostRoot = await mkdtemp(join(tmpdir(), 'd4c-gate-host-'));
  t.after(() => rm(hostRoot, { recursive: true }));
  const host = await gateHost();
  t.after(host.close);
  const container = await host.startRunc();
  const blocks = fileTable(['createExecutable'], ['/**'], ['alert', 'block']);
  const set = {
    options: { memfdNoexec: true, hostRoot },
    publish: 'found',
    tables: { [container.id]: blocks },
  } as const;
  const gate = await testGate(set, asInPod(hostRoot));
  t.after(gate.close);
  await gate.ask({ type: 'adopt', key: await gate.keyOf(container.id), pid: container.pid });
  assert.equal(await opener(container, 'memory', '/bin/busybox', 'echo', 'ran'), 'EACCES');
  assert.deepEqual(gate.failures, []);
});
