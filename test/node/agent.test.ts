import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { startAgent, type TestAgent, type WrittenDocument } from '../support/agent.ts';
import {
  type Container,
  type ContainerHost,
  containerHost,
  dropLine,
  requirements,
} from '../support/containers.ts';
import { testImage } from '../support/image.ts';
import { eventually, run } from '../support/programs.ts';

/** Blocks `exec` below /tmp in containers of the image `registry.example/<name>`. */
const blockExec = (name: string, path = '/tmp/**') => `
process:
  selectors:
    - name: dropped
      operation: [exec]
      processExecutable: ["${path}"]
      containerImageFullName: [registry.example/${name}]
  responses:
    - match: [dropped]
      actions: [alert, block]
`;

/** Blocks file operations below a path in containers of the image `registry.example/<name>`. */
const blockFiles = (name: string, operations: string, path: string) => `
file:
  selectors:
    - name: files
      operation: [${operations}]
      targetFilePath: ["${path}"]
      containerImageFullName: [registry.example/${name}]
  responses:
    - match: [files]
      actions: [log, alert, block]
`;

const imageOf = (name: string) => ({
  annotations: { 'org.opencontainers.image.ref.name': `registry.example/${name}:1` },
});

const policies = {
  'block-exec': blockExec('exec'),
  'block-exec-containerd': blockExec('d4c-gate/box'),
  'block-programs': blockFiles('create', 'createExecutable', '/**'),
  'block-passwd': blockFiles('modify', 'modifyFile', '/etc/passwd'),
  'block-first': blockExec('race', '/bin/busybox'),
};

let host: ContainerHost;
let folder: string;
const agents: TestAgent[] = [];

const skip = requirements('containerd');
before(async () => {
  if (skip !== undefined) return;
  folder = await mkdtemp(join(tmpdir(), 'd4c-gate-agent-'));
  host = await containerHost();
});
after(async () => {
  if (skip !== undefined) return;
  for (const agent of agents) await agent.stop();
  await host.close();
  await rm(folder, { recursive: true });
});

async function agentWith(texts: Record<string, string>, ...flags: string[]): Promise<TestAgent> {
  const sockets = ['--containerd-socket', host.containerdSocket];
  const agent = await startAgent(await mkdtemp(join(folder, 'agent-')), texts, ...sockets, ...flags);
  agents.push(agent);
  return agent;
}

async function stop(agent: TestAgent): Promise<number | null> {
  agents.splice(agents.indexOf(agent), 1);
  return await agent.stop();
}

async function start(t: TestContext, image: string): Promise<Container> {
  const container = await host.startRunc(imageOf(image));
  t.after(container.remove);
  return container;
}

const documentsAbout = async (agent: TestAgent, { id }: { id: string }, count: number) => {
  let found: WrittenDocument[] = [];
  await eventually(`${count} documents are written`, async () => {
    found = (await agent.documents()).filter(({ container }) => container.id === id);
    return found.length >= count;
  });
  return found;
};

describe('an agent that enforces', { skip }, () => {
  let agent: TestAgent;
  before(async () => {
    agent = await agentWith(policies);
  });
  after(() => stop(agent));

  test('lets the programs of the image run', async (t) => {
    const container = await start(t, 'exec');
    const { exitCode, stdout, stderr } = await container.exec('/usr/local/bin/hello');
    assert.deepEqual([exitCode, stdout, stderr], [0, 'hello\n', '']);
  });

  test('refuses a dropped program where exec is blocked by path, and says so', async (t) => {
    const container = await start(t, 'exec');
    const { exitCode, stdout, stderr } = await container.dropAndRun('/tmp/busybox-dropped');
    assert.equal(stdout, '');
    assert.equal(exitCode, 126);
    assert.match(stderr, /not permitted/);
    const [document] = await documentsAbout(agent, container, 1);
    assert.match(document?.message ?? '', /the execution of \/tmp\/busybox-dropped .* was blocked/);
    assert.deepEqual(document?.event.type, ['start', 'denied']);
    assert.equal(document?.event.dataset, 'cloud_defend.alerts');
    assert.deepEqual(document?.container.image, { name: 'registry.example/exec', tag: ['1'] });
    assert.deepEqual(
      { ...document?.cloud_defend, package_policy_revision: 0 },
      {
        matched_selectors: ['dropped'],
        package_policy_id: 'block-exec',
        package_policy_revision: 0,
        hook_point: 'fanotify__open_exec_perm',
      },
    );
    assert.equal(document?.d4c_gate.outcome, 'prevented');
    assert.equal(document?.process.executable, '/tmp/busybox-dropped');
    assert.deepEqual(document?.process.args, ['/tmp/busybox-dropped', 'echo', 'ran']);
  });

  test('does the same in a container of containerd', async (t) => {
    const container = await host.startContainerd();
    t.after(container.remove);
    assert.equal((await container.exec('/usr/local/bin/hello')).stdout, 'hello\n');
    const { stdout, stderr } = await container.dropAndRun('/tmp/busybox-dropped');
    assert.equal(stdout, '');
    assert.match(stderr, /not permitted/);
    const [document] = await documentsAbout(agent, container, 1);
    assert.equal(document?.cloud_defend.package_policy_id, 'block-exec-containerd');
    assert.equal(`${document?.container.image?.name}:${document?.container.image?.tag}`, testImage);
  });

  test('refuses to create a program, and leaves no file', async (t) => {
    const container = await start(t, 'create');
    const { exitCode, stderr } = await container.sh('umask 0; cp /bin/busybox /tmp/program');
    assert.notEqual(exitCode, 0);
    assert.match(stderr, /not permitted/);
    assert.equal((await container.sh('ls /tmp')).stdout, '');
    const documents = await documentsAbout(agent, container, 2);
    assert.deepEqual(documents.map(({ event }) => event.dataset).sort(), [
      'cloud_defend.alerts',
      'cloud_defend.file',
    ]);
    for (const document of documents) {
      assert.equal(document.file?.path, '/tmp/program');
      assert.deepEqual(document.event.type, ['creation', 'denied']);
      assert.equal(document.process.executable, '/bin/busybox');
    }
  });

  test('lets the same container create files that are no programs', async (t) => {
    const container = await start(t, 'create');
    const { exitCode, stdout } = await container.sh('echo text > /tmp/text && cat /tmp/text');
    assert.deepEqual([exitCode, stdout], [0, 'text\n']);
  });

  test('refuses to write /etc/passwd where that is blocked, and lets it be read', async (t) => {
    const container = await start(t, 'modify');
    const { stdout: text } = await container.exec('/bin/cat', '/etc/passwd');
    assert.match(text, /^root:/);
    for (const line of ['echo x >> /etc/passwd', ': > /etc/passwd']) {
      const { exitCode, stderr } = await container.sh(line);
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /not permitted/);
    }
    assert.equal((await container.exec('/bin/cat', '/etc/passwd')).stdout, text);
    assert.equal((await container.sh('echo x > /etc/other')).exitCode, 0);
    const [document] = await documentsAbout(agent, container, 4);
    assert.deepEqual(document?.event.type, ['change', 'denied']);
  });

  test('leaves a container alone that no policy matches', async (t) => {
    const container = await start(t, 'unmatched');
    assert.equal((await container.dropAndRun('/tmp/busybox-dropped')).stdout, 'ran\n');
    assert.equal((await container.sh('echo x >> /etc/passwd')).exitCode, 0);
  });

  test('leaves the host alone', async () => {
    const { stdout } = await run('sh', ['-c', dropLine(join(folder, 'busybox-of-the-host'))]);
    assert.equal(stdout, 'ran\n');
  });

  test('of 50 containers whose first program is forbidden, none runs an instruction', async () => {
    const one = async () => {
      const options = { ...imageOf('race'), args: ['/bin/touch', '/ran'] };
      const { exitCode, upper, stderr } = await host.runRunc(options);
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /exec .*\/bin\/touch.*: operation not permitted/);
      assert.equal(existsSync(join(upper, 'ran')), false);
    };
    for (let round = 0; round < 10; round++) await Promise.all([one(), one(), one(), one(), one()]);
  });
});

test('the same holds for containers of containerd', { skip }, async (t) => {
  const agent = await agentWith({ first: blockExec('d4c-gate/box', '/bin/busybox') });
  t.after(() => stop(agent));
  const one = async () => {
    // `ctr run` does not say that the program could not be executed.
    const container = await host.startContainerd({ args: ['/bin/touch', '/ran'] });
    const [document] = await documentsAbout(agent, container, 1);
    assert.equal(document?.d4c_gate.outcome, 'prevented');
  };
  for (let round = 0; round < 2; round++) await Promise.all([one(), one(), one(), one(), one()]);
  const changes = 'containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/*/fs';
  assert.notDeepEqual(globSync(`${changes}/etc`, { cwd: host.folder }), []);
  assert.deepEqual(globSync(`${changes}/ran`, { cwd: host.folder }), []);
});

test('protects what ran before the gate opened', { skip }, async (t) => {
  const container = await start(t, 'exec');
  const containerd = await host.startContainerd();
  t.after(containerd.remove);
  assert.equal((await container.dropAndRun('/tmp/busybox-before')).stdout, 'ran\n');
  const agent = await agentWith(policies);
  t.after(() => stop(agent));
  for (const each of [container, containerd]) {
    await eventually('it is bound', () => agent.log().includes(`"container":"${each.id}"`));
    assert.equal((await each.exec('/usr/local/bin/hello')).stdout, 'hello\n');
    assert.equal((await each.dropAndRun('/tmp/busybox-dropped')).stdout, '');
    await documentsAbout(agent, each, 1);
  }
  assert.equal((await container.exec('/tmp/busybox-before', 'echo', 'ran')).stdout, '');
});

test('a policy change is in force at once, for containers that run', { skip }, async (t) => {
  const agent = await agentWith({ other: blockExec('other') });
  t.after(() => stop(agent));
  const container = await start(t, 'exec');
  const drop = () => container.dropAndRun('/tmp/busybox-dropped');
  assert.equal((await drop()).stdout, 'ran\n');
  await agent.setPolicy('now', blockExec('exec'));
  assert.equal((await drop()).stdout, '');
  await agent.setPolicy('now', null);
  assert.equal((await drop()).stdout, 'ran\n');
});

test('a bad policy never replaces a good one', { skip }, async (t) => {
  const agent = await agentWith({ now: blockExec('exec') });
  t.after(() => stop(agent));
  const container = await start(t, 'exec');
  await agent.writePolicy('now', 'process: nonsense');
  await eventually('it is refused', () => agent.log().includes('policy_reload_refused'));
  assert.equal((await container.dropAndRun('/tmp/busybox-dropped')).stdout, '');
});

test('mode observe reports what enforce would block, and blocks nothing', { skip }, async (t) => {
  const agent = await agentWith({ exec: blockExec('exec') }, '--mode', 'observe');
  t.after(() => stop(agent));
  const container = await start(t, 'exec');
  assert.equal((await container.dropAndRun('/tmp/busybox-dropped')).stdout, 'ran\n');
  const [document] = await documentsAbout(agent, container, 1);
  assert.deepEqual(document?.event.type, ['start']);
  assert.deepEqual(
    { ...document?.d4c_gate },
    {
      outcome: 'detected',
      mode: 'observe',
      actions: ['alert', 'block'],
    },
  );
  assert.match(document?.message ?? '', /would have been blocked/);
});

/** A container that nobody knows anything of. */
const unknowable = () => ({ stateFolder: join(host.folder, 'elsewhere'), args: ['/bin/touch', '/ran'] });

test('who is not known in time is decided by --on-unknown', { skip }, async () => {
  for (const [verdict, ran] of [['allow', true] as const, ['deny', false] as const]) {
    const flags = ['--hold-ms', '300', '--on-unknown', verdict];
    const agent = await agentWith({ exec: blockExec('exec') }, ...flags);
    const started = performance.now();
    const { upper, exitCode } = await host.runRunc(unknowable());
    assert.ok(performance.now() - started >= 300);
    assert.equal(exitCode === 0, ran);
    assert.equal(existsSync(join(upper, 'ran')), ran);
    assert.match(agent.log(), /container_unknown/);
    await stop(agent);
  }
});

test('SIGTERM leaves nothing asleep', { skip }, async () => {
  const agent = await agentWith({ exec: blockExec('exec') }, '--hold-ms', '60000');
  const held = host.runRunc(unknowable());
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(await stop(agent), 0);
  const { exitCode } = await held;
  assert.equal(exitCode, 0);
  assert.match(agent.log(), /"msg":"gate closed"/);
});

test('an agent that is killed leaves nothing asleep', { skip }, async () => {
  const agent = await agentWith({ exec: blockExec('exec') }, '--hold-ms', '60000');
  const held = host.runRunc(unknowable());
  await new Promise((resolve) => setTimeout(resolve, 500));
  agents.splice(agents.indexOf(agent), 1);
  await agent.stop('SIGKILL');
  assert.equal((await held).exitCode, 0);
});
