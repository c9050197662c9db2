/** A kernel without permission events: nothing is refused, everything is told, and nobody is told that anything was refused. */

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { readKeeperStatus } from '../../src/native/keeperStatus.ts';
import { startAgentBy, type TestAgent, type WrittenDocument } from '../support/agent.ts';
import { type Container, type ContainerHost, requirements } from '../support/containers.ts';
import { detain } from '../support/detainer.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { testImage } from '../support/image.ts';
import { holdings, keeperIn } from '../support/keeper.ts';
import { eventually, must, run } from '../support/programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
const image = 'registry.example/told';
const annotations = { 'org.opencontainers.image.ref.name': `${image}:1` };

const policies = {
  moments: `
process:
  selectors:
    - { name: every, operation: [exec], containerImageFullName: [${testImage.replace(/:.*/, '')}] }
  responses:
    - { match: [every], actions: [log] }
`,
  programs: `
process:
  selectors:
    - { name: dropped, operation: [exec], processExecutable: ["/tmp/**"], containerImageFullName: [${image}] }
    - { name: every, operation: [exec, fork], containerImageFullName: [${image}] }
  responses:
    - { match: [dropped], actions: [alert, block] }
    - { match: [every], actions: [log] }
`,
  files: `
file:
  selectors:
    - { name: made, operation: [createFile], targetFilePath: ["/data/**"], containerImageFullName: [${image}] }
    - { name: changed, operation: [modifyFile], targetFilePath: ["/data/**", "/etc/**"], containerImageFullName: [${image}] }
    - { name: gone, operation: [deleteFile], targetFilePath: ["/data/**"], containerImageFullName: [${image}] }
    - { name: executables, operation: [createExecutable, modifyExecutable], containerImageFullName: [${image}] }
  responses:
    - { match: [made, changed], actions: [alert, block] }
    - { match: [gone], actions: [alert] }
    - { match: [executables], actions: [alert, block] }
`,
};

let host: ContainerHost;
let folder: string;
let withoutCalls: string;

const skip = gateRequirements();
before(async () => {
  if (skip !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'd4c-gate-telemetry-'));
  withoutCalls = join(folder, 'withoutCalls');
  const source = join(import.meta.dirname, '../support/withoutCalls.c');
  await must('gcc', ['-O1', '-Wall', '-o', withoutCalls, source]);
  host = await gateHost();
});
after(async () => {
  if (skip !== undefined) return;
  await host.close();
  await rm(folder, { recursive: true });
});

/** By what the kernel refuses: events of this kind, or groups of this class. */
type Lack = 'permission' | 'classes';

async function startDeprived(t: TestContext, lack: Lack, ...flags: string[]): Promise<TestAgent> {
  const agentFolder = await mkdtemp(join(folder, 'agent-'));
  const agent = await startAgentBy([withoutCalls, lack], agentFolder, policies, ...flags);
  t.after(() => agent.stop());
  return agent;
}

async function startBound(t: TestContext, agent: TestAgent): Promise<Container> {
  const container = await host.startRunc({ annotations });
  t.after(container.remove);
  await eventually('it is bound', () => agent.log().includes(container.id));
  return container;
}

type Wanted = (document: WrittenDocument) => boolean;

async function told(agent: TestAgent, what: string, wanted: Wanted): Promise<WrittenDocument> {
  let found: WrittenDocument | undefined;
  await eventually(what, async () => {
    found = (await agent.documents()).find(wanted);
    return found !== undefined;
  });
  assert.ok(found);
  return found;
}

const ofFile = (path: string, action: string): Wanted => {
  return ({ event, file }) => file?.path === path && event.action === action;
};

async function assertNothingIsDenied(agent: TestAgent): Promise<void> {
  for (const { d4c_gate: gate, event, message } of await agent.documents()) {
    assert.equal(gate.outcome, 'detected', message);
    assert.ok(!event.type.includes('denied'), message);
  }
}

describe('a kernel without permission events', { skip }, () => {
  test('tells of the exec that a rule blocks, with who did it, and lets it happen', async (t) => {
    const agent = await startDeprived(t, 'permission');
    const container = await startBound(t, agent);
    await must('cp', ['/bin/busybox', join(host.folder, container.id, 'rootfs/tmp/busybox-told')]);
    const { exitCode } = await container.exec('/tmp/busybox-told', 'sleep', '0.2');
    assert.equal(exitCode, 0);
    const document = await told(
      agent,
      'the exec is told',
      ({ event, process }) => event.kind === 'alert' && process.executable === '/tmp/busybox-told',
    );
    assert.equal(document.event.action, 'exec');
    assert.deepEqual(document.process.args, ['/tmp/busybox-told', 'sleep', '0.2']);
    assert.equal(document.container.id, container.id);
    assert.equal(document.cloud_defend.hook_point, 'fanotify__open_exec');
    assert.match(document.message, /asks to block this, and it could not be blocked/);
    const isDrift: Wanted = ({ d4c_gate: gate }) => gate.reason === 'drift';
    const drift = await told(agent, 'that it is not of the image is told, too', isDrift);
    assert.deepEqual(drift.cloud_defend.matched_selectors, ['executables']);
    assert.equal(drift.process.executable, '/tmp/busybox-told');
    await eventually('it is counted', () => agent.log().includes('"failure":"not_enforceable"'));
    await assertNothingIsDenied(agent);
  });

  test('tells of what becomes of files, each once, and takes nothing back', async (t) => {
    const agent = await startDeprived(t, 'permission');
    const container = await startBound(t, agent);
    await container.sh('mkdir /data /bin/folder');
    await container.sh('echo one > /data/new');
    const created = await told(agent, 'the creation is told', ofFile('/data/new', 'creation'));
    assert.equal(created.cloud_defend.hook_point, 'fanotify__create');
    assert.deepEqual(created.cloud_defend.matched_selectors, ['made']);
    await container.sh('echo two >> /data/new; echo three >> /etc/passwd');
    const changed = await told(agent, 'the change is told', ofFile('/data/new', 'modification'));
    assert.equal(changed.cloud_defend.hook_point, 'fanotify__close_write');
    assert.deepEqual(changed.cloud_defend.matched_selectors, ['changed']);
    assert.equal(changed.process.executable, '/bin/busybox');
    assert.equal(changed.container.id, container.id);
    await told(agent, 'a change of the image is told', ofFile('/etc/passwd', 'modification'));
    await opener(container, 'mknod', '/data/node', '0755');
    await told(agent, 'a file without an open is told', ofFile('/data/node', 'creation'));
    await container.sh('mv /data/new /data/other');
    await told(agent, 'the rename is told', ofFile('/data/other', 'rename'));
    await container.sh('rm /data/other');
    await told(agent, 'the deletion is told', ofFile('/data/other', 'deletion'));
    await container.sh('echo : > /data/script');
    await told(agent, 'it is told as data', ofFile('/data/script', 'creation'));
    await container.sh('chmod 755 /data/script');
    const isBit: Wanted = (one) => one.cloud_defend.hook_point === 'fanotify__attrib';
    const bit = await told(agent, 'the first execute bit is told', isBit);
    assert.equal(bit.file?.path, '/data/script');
    assert.ok(bit.cloud_defend.matched_selectors.includes('executables'));
    assert.match((await container.sh('ls -l /data/script')).stdout, /^-rwxr-xr-x/);
    await container.sh('cp /bin/busybox /bin/folder/copy');
    await told(agent, 'a new program is told', ofFile('/bin/folder/copy', 'creation'));
    assert.equal(
      (await container.exec('/bin/folder/copy', 'true')).exitCode,
      127,
      'an applet of no such name',
    );
    const documents = await agent.documents();
    const alerts = documents.filter(({ event, file }) => event.kind === 'alert' && file !== undefined);
    const whats = alerts.map(
      ({ cloud_defend: by, event, file }) => `${event.action} ${file?.path} ${by.hook_point}`,
    );
    assert.deepEqual(whats, [...new Set(whats)], 'nothing is told twice');
    const made = /^modification .*(node|script|copy)/;
    assert.ok(!whats.some((what) => made.test(what)), 'what an open has created it has not changed');
    await assertNothingIsDenied(agent);
  });

  test('tells of the first program of a container, from before it is known whose it is', async (t) => {
    const agent = await startDeprived(t, 'permission');
    const container = await host.startRunc({
      annotations,
      args: ['/bin/sh', '-c', 'mkdir /data; echo > /data/first; sleep 0.4; sleep 0.4; exec sleep 1000'],
    });
    t.after(container.remove);
    const first = await told(
      agent,
      'the first program is told',
      ({ event, process, container: { id } }) =>
        id === container.id && event.action === 'exec' && process.args[1] === '-c',
    );
    assert.equal(first.process.executable, '/bin/busybox');
    await told(agent, 'what it does is told', ofFile('/data/first', 'creation'));
    await told(agent, 'its forks are told', ({ event }) => event.action === 'fork');
  });

  test('tells of containers of containerd that are gone in a moment', {
    skip: requirements('containerd'),
  }, async (t) => {
    const waiting = await host.startContainerd();
    t.after(waiting.remove);
    const agent = await startDeprived(t, 'permission', '--containerd-socket', host.containerdSocket);
    for (let i = 0; i < 3; i++) {
      const container = await host.startContainerd({ args: ['/bin/sleep', '0.2'] });
      t.after(container.remove);
      const isOfIt: Wanted = ({ event, container: { id } }) => id === container.id && event.action === 'exec';
      const { process: program } = await told(agent, 'its program is told', isOfIt);
      assert.deepEqual([program.executable, ...program.args], ['/bin/busybox', '/bin/sleep', '0.2']);
    }
    await assertNothingIsDenied(agent);
  });

  test('tells of what happens on a volume', async (t) => {
    const agent = await startDeprived(t, 'permission');
    const volumes = [{ destination: '/data', type: 'tmpfs', source: 'tmpfs' }];
    const container = await host.startRunc({ annotations, volumes });
    t.after(container.remove);
    await eventually('it is bound', () => agent.log().includes(container.id));
    await container.sh('echo one > /data/new');
    await told(agent, 'a creation is told', ofFile('/data/new', 'creation'));
    await container.sh('echo two >> /data/new');
    await told(agent, 'a change is told', ofFile('/data/new', 'modification'));
    await container.sh('cp /bin/busybox /data/busybox-told');
    await told(agent, 'a program is told', ofFile('/data/busybox-told', 'creation'));
    assert.equal((await container.exec('/data/busybox-told', 'sleep', '0.2')).exitCode, 0);
    const isExec: Wanted = ({ process }) => process.executable === '/data/busybox-told';
    assert.equal((await told(agent, 'its exec is told', isExec)).event.action, 'exec');
    // Whoever makes one file after the other ends before it is looked at.
    await container.sh('for i in 1 2 3 4 5 6 7 8; do cp /etc/passwd /data/copy-$i; done; : >> /data/copy-8');
    await told(agent, 'the last one is told', ofFile('/data/copy-8', 'modification'));
    const alerts = (await agent.documents()).filter(({ event }) => event.kind === 'alert');
    const modified = alerts.filter(({ event }) => event.action === 'modification');
    assert.deepEqual(
      modified.map(({ file }) => file?.path),
      ['/data/new', '/data/copy-8'],
      'what an open has created it has not changed',
    );
    const copies = alerts.filter(({ file }) => file?.path.startsWith('/data/copy-'));
    assert.equal(copies.length, 9);
    await assertNothingIsDenied(agent);
  });

  test('has another thread go on in the place of one that a task keeps, and tells of what that one had, too', async (t) => {
    const keeper = keeperIn(await mkdtemp(join(folder, 'keeper-')));
    const agent = await startDeprived(t, 'permission', ...keeper.flags, '--deadline-ms', '100');
    t.after(() => keeper.end());
    const [one, other] = [await startBound(t, agent), await startBound(t, agent)];
    const pid = await keeper.pid();
    const gate = async () => (await readKeeperStatus(keeper.socket)).gate;
    const { threads } = await holdings(pid);
    const isHello =
      ({ id }: Container): Wanted =>
      ({ container, process: { executable } }) =>
        container.id === id && executable === '/usr/local/bin/hello';
    const { hasDetained, letGo } = await detain(t, folder, pid);
    await one.exec('/usr/local/bin/hello');
    await eventually('the thread is kept', async () => hasDetained() && (await gate())?.keptReaders === 1);
    await other.exec('/usr/local/bin/hello');
    await told(agent, 'another one goes on', isHello(other));
    assert.ok(!(await agent.documents()).some(isHello(one)));
    await letGo();
    await told(agent, 'what was kept is told late', isHello(one));
    await eventually('it has ended', async () => (await holdings(pid)).threads <= threads);
    assert.equal((await gate())?.keptReaders, 0);
    await other.exec('/bin/opener', 'mknod', '/tmp/afterwards', '0755');
    await told(agent, 'it goes on', ofFile('/tmp/afterwards', 'creation'));
  });

  test('goes on while containers and agents come and go, and says what is not enforced and that it is not ready', async (t) => {
    const keeper = keeperIn(await mkdtemp(join(folder, 'keeper-')));
    const health = join(folder, 'keeper.health');
    const agent = await startDeprived(t, 'classes', ...keeper.flags, '--keep-gate', '--health-file', health);
    // Behind the agent, which would start another one.
    t.after(() => keeper.end());
    const container = await startBound(t, agent);
    await eventually('it is bound', async () =>
      (await status(keeper.socket)).includes('NOT ENFORCEABLE, only reported'),
    );
    const text = await status(keeper.socket);
    assert.match(
      text,
      /^enforces NOTHING, what happens is only reported: .*fanotify_init: invalid argument/m,
    );
    assert.match(text, /^ {4}block dropped: exec is not enforceable, only detected$/m);
    assert.ok(!text.includes('prevented'), text);
    assert.match(
      agent.log(),
      /"code":"GATE_UNSUPPORTED".*"msg":"no rule that blocks is enforceable on this node/,
    );
    const { isReady, reason } = JSON.parse(await readFile(health, 'utf8'));
    assert.equal(isReady, false);
    assert.match(reason, /no rule that blocks is enforceable on this node/);

    const before = await keeper.pid();
    const held = await holdings(before);
    for (let i = 0; i < 8; i++) {
      const { exitCode } = await host.runRunc({ annotations, args: ['/bin/sh', '-c', 'echo x > /tmp/x'] });
      assert.equal(exitCode, 0);
    }
    await eventually('nothing is kept of them', async () => {
      const { files, threads, marks } = await holdings(before);
      return files <= held.files && threads <= held.threads && marks <= held.marks;
    });
    await container.exec('/bin/opener', 'mknod', '/tmp/after', '0755');
    await told(agent, 'it goes on', ofFile('/tmp/after', 'creation'));
    await agent.stop('SIGKILL');
    await container.exec('/bin/opener', 'mknod', '/tmp/meanwhile', '0755');
    const next = await startDeprived(
      t,
      'classes',
      ...keeper.flags,
      '--mode',
      'observe',
      '--health-file',
      health,
    );
    t.after(() => keeper.end());
    await told(next, 'the next agent is told', ofFile('/tmp/meanwhile', 'creation'));
    assert.equal(await keeper.pid(), before);
    assert.equal(
      JSON.parse(await readFile(health, 'utf8')).isReady,
      true,
      'in mode observe nothing is missing',
    );
    await assertNothingIsDenied(next);
  });
});

async function status(socket: string): Promise<string> {
  return (await run(process.execPath, [main, 'status', '--keeper-socket', socket])).stdout;
}
