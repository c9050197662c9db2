/** What came to be without a permission event, or is not of the image, is not executed where a rule would have refused it. */

import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { KernelEvent } from '../../src/native/contract.ts';
import type { Container, ContainerHost } from '../support/containers.ts';
import { putDynamic } from '../support/dynamic.ts';
import { gateHost, gateRequirements, opener } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled } from '../support/programs.ts';
import { type TestGate, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;
const idOf = (name: string): string => `${containerPrefix}${process.pid}-${name}`;
const upper = (id: string, path: string): string => join(host.folder, id, 'upper', path);

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

/** Blocks programs that are new or changed, but for those below /opt/trusted. Every exec below /opt is logged. */
const noNewPrograms = () =>
  tableOf({
    file: {
      selectors: [
        { name: 'programs', operation: ['createExecutable', 'modifyExecutable'] },
        {
          name: 'trusted',
          operation: ['createExecutable', 'modifyExecutable'],
          targetFilePath: ['/opt/trusted/**'],
        },
      ],
      responses: [{ match: ['programs'], exclude: ['trusted'], actions: ['alert', 'block'] }],
    },
    process: {
      selectors: [{ name: 'inopt', operation: ['exec'], processExecutable: ['/opt/**'] }],
      responses: [{ match: ['inopt'], actions: ['log'] }],
    },
  });

/** Waits for the gate's word on an operation, and gives what became of it. */
async function wordOn(gate: TestGate, kind: KernelEvent['kind'], path: string) {
  const event = await gate.event((each) => each.kind === kind && each.path === path);
  const { outcome, verdict, reason, operations } = event;
  return { outcome, verdict, reason, operations };
}

const refusedAs = (reason: string, ...operations: string[]) => ({
  outcome: 'prevented',
  verdict: 'deny',
  reason,
  operations,
});

describe('a program that came to be by', { skip }, () => {
  const id = idOf('contain');
  let gate: TestGate;
  let container: Container;
  before(async () => {
    gate = await testGate({ tables: { [id]: noNewPrograms() } });
    container = await host.startRunc({ id });
  });
  after(async () => {
    await container?.remove();
    await gate?.close();
  });
  const runs = async (path: string) => (await container.exec(path, 'echo', 'ran')).stdout === 'ran\n';

  test('chmod gets its execute bits taken back, and is not executed', async () => {
    await container.sh('cat /bin/busybox > /tmp/busybox-chmod; chmod 755 /tmp/busybox-chmod');
    assert.equal(await runs('/tmp/busybox-chmod'), false);
    const { outcome, operations } = await wordOn(gate, 'attributes', '/tmp/busybox-chmod');
    assert.deepEqual([outcome, operations], ['reverted', ['createExecutable']]);
    assert.equal(statSync(upper(id, '/tmp/busybox-chmod')).mode & 0o777, 0o644);
    assert.equal((await container.sh('test -x /tmp/busybox-chmod')).exitCode, 1);
  });

  test('chmod again and again is not executed', async () => {
    await container.sh('cat /bin/busybox > /tmp/busybox-again');
    const line = 'for i in $(seq 50); do chmod 755 /tmp/busybox-again; /tmp/busybox-again echo ran; done';
    const { stdout } = await container.sh(line);
    assert.equal(stdout, '');
  });

  test('a link is not executed under that name, and under its own it is', async () => {
    assert.equal(await opener(container, 'link', '/bin/busybox', '/tmp/busybox-link'), 'ok');
    assert.equal((await wordOn(gate, 'link', '/tmp/busybox-link')).outcome, 'contained');
    assert.equal(await runs('/tmp/busybox-link'), false);
    assert.deepEqual(
      await wordOn(gate, 'exec', '/tmp/busybox-link'),
      refusedAs('contained', 'createExecutable', 'createFile'),
    );
    assert.equal(await runs('/bin/busybox'), true);
    await opener(container, 'link', '/tmp/busybox-link', '/tmp/busybox-further');
    await wordOn(gate, 'link', '/tmp/busybox-further');
    assert.equal(await runs('/tmp/busybox-further'), false);
  });

  test('thousands of links is not executed under any of these names, and under its own it is', async (t) => {
    const nameOf = (index: number) =>
      `/tmp/many/a-further-name-of-this-program-${String(index).padStart(5, '0')}`;
    await container.sh('mkdir /tmp/many; : > /tmp/data');
    assert.equal(await opener(container, 'links', '/bin/opener', '/tmp/many', '5000'), 'ok');
    assert.equal((await wordOn(gate, 'link', nameOf(4999))).outcome, 'contained');
    for (const index of [0, 2500, 4999]) {
      const { exitCode } = await container.exec(nameOf(index), 'open', '/tmp/data', '0', 'RDONLY');
      assert.notEqual(exitCode, 0, nameOf(index));
      assert.equal((await wordOn(gate, 'exec', nameOf(index))).reason, 'contained');
    }
    const since = performance.now();
    const line = 'i=0; while [ $i -lt 200 ]; do /bin/opener open /tmp/data 0 RDONLY; i=$((i+1)); done';
    assert.equal((await container.sh(line)).stdout, 'ok\n'.repeat(200));
    t.diagnostic(`${(performance.now() - since) / 200} ms for each exec under its own name`);
  });

  test('rename is not executed under its new name', async () => {
    await opener(container, 'rename', '/usr/local/bin/hello', '/tmp/hello');
    assert.equal((await wordOn(gate, 'rename', '/tmp/hello')).outcome, 'contained');
    assert.notEqual((await container.exec('/tmp/hello')).stdout, 'hello\n');
    assert.equal((await wordOn(gate, 'exec', '/tmp/hello')).reason, 'contained');
  });

  test('truncate is not executed', async () => {
    assert.equal(await opener(container, 'truncate', '/usr/bin/linked', '1000000'), 'ok');
    assert.equal((await wordOn(gate, 'modification', '/usr/bin/linked')).outcome, 'contained');
    assert.equal(await runs('/usr/bin/linked'), false);
    assert.equal((await wordOn(gate, 'exec', '/usr/bin/linked')).reason, 'contained');
  });

  test('mknod is not executed', async () => {
    await opener(container, 'mknod', '/tmp/node', '755');
    assert.equal((await wordOn(gate, 'creation', '/tmp/node')).outcome, 'contained');
    await container.exec('/tmp/node');
    assert.equal((await wordOn(gate, 'exec', '/tmp/node')).verdict, 'deny');
  });

  test('a way that an exclude covers is executed', async () => {
    await container.sh('mkdir -p /opt/trusted && cp /bin/busybox /opt/trusted/busybox-copy');
    assert.equal(await runs('/opt/trusted/busybox-copy'), true);
    assert.equal((await wordOn(gate, 'exec', '/opt/trusted/busybox-copy')).outcome, 'detected');
  });

  test('what process rules say of an exec that is refused is told, too', async () => {
    await container.sh('cat /bin/busybox > /opt/busybox-both; chmod 755 /opt/busybox-both');
    await wordOn(gate, 'attributes', '/opt/busybox-both');
    await opener(container, 'rename', '/opt/trusted/busybox-copy', '/opt/busybox-moved');
    await wordOn(gate, 'rename', '/opt/busybox-moved');
    assert.equal(await runs('/opt/busybox-moved'), false);
    await gate.event(({ path, reason }) => path === '/opt/busybox-moved' && reason !== undefined);
    const words = gate.events.filter(({ kind, path }) => kind === 'exec' && path === '/opt/busybox-moved');
    assert.deepEqual(
      words.map(({ outcome, reason }) => [outcome, reason]),
      [
        ['prevented', undefined],
        ['prevented', 'contained'],
      ],
    );
  });
});

test('a program of the image that is younger than the container is one also where its folder is mounted again', {
  skip,
}, async (t) => {
  const id = idOf('young');
  const young = ['young', 'appended'].map((name) => `busybox-${name}`);
  const container = await host.startRunc({ id, capabilities: ['CAP_SYS_ADMIN'] });
  t.after(container.remove);
  for (const name of young) await copyFile('/bin/busybox', join(host.folder, 'image/usr/bin', name));
  const lines = [
    'cp /bin/busybox /usr/bin/busybox-own',
    'echo >> /usr/bin/busybox-appended',
    'mkdir -p /srv/bin && mount -o bind /usr/bin /srv/bin',
  ];
  const { exitCode, stderr } = await container.sh(lines.join(' && '));
  assert.equal(exitCode, 0, stderr);
  const gate = await testGate({ publish: 'found', tables: { [id]: noNewPrograms() } });
  t.after(gate.close);
  await gate.ask({ type: 'adopt', key: await gate.keyOf(id), pid: container.pid });
  for (const [name, ran] of [
    ['young', 'ran\n'],
    ['appended', ''],
    ['own', ''],
  ]) {
    for (const folder of ['/usr/bin', '/srv/bin']) {
      const { stdout } = await container.exec(`${folder}/busybox-${name}`, 'echo', 'ran');
      assert.equal(stdout, ran, `${folder}/busybox-${name}`);
    }
  }
});

describe('a container whose changes nobody saw', { skip }, () => {
  const id = idOf('drift');
  let gate: TestGate;
  let container: Container;
  let loader: string;
  before(async () => {
    loader = await putDynamic(join(host.folder, 'image'), '/bin/echo', '/usr/bin/dynamic');
    await writeFile(join(host.folder, 'image/usr/bin/script'), '#!/usr/bin/dynamic by\n', { mode: 0o755 });
    container = await host.startRunc({ id });
    const lines = [
      'cp /usr/bin/dynamic /tmp/dynamic-new',
      'cp /bin/busybox /tmp/busybox-new',
      'touch /bin/busybox; chown 1 /bin/busybox; chmod 700 /bin/busybox',
      'ln /bin/busybox /tmp/busybox-linked',
      'echo >> /usr/local/bin/hello',
      'mkdir -p /opt/trusted; cp /bin/busybox /opt/trusted/busybox-kept',
      'cat /bin/opener > /tmp/copy; chmod 755 /tmp/copy; mv /tmp/copy /bin/opener',
    ];
    const { exitCode, stderr } = await container.sh(lines.join(' && '));
    assert.equal(exitCode, 0, stderr);
    gate = await testGate({ publish: 'found', tables: { [id]: noNewPrograms() } });
    await gate.ask({ type: 'adopt', key: await gate.keyOf(id), pid: container.pid });
  });
  after(async () => {
    await container?.remove();
    await gate?.close();
  });
  const runs = async (path: string) => (await container.exec(path, 'echo', 'ran')).stdout === 'ran\n';

  test('executes programs of its image, also when they were touched, given away or linked', async () => {
    assert.equal(await runs('/bin/busybox'), true);
    assert.equal(await runs('/tmp/busybox-linked'), true);
    assert.equal(await opener(container, 'open', '/etc/passwd', '0', 'RDONLY'), 'ok');
    assert.deepEqual(
      gate.events.map(({ path }) => path),
      [],
    );
  });

  test('does not execute a program that is new', async () => {
    assert.equal(await runs('/tmp/busybox-new'), false);
    assert.deepEqual(await wordOn(gate, 'exec', '/tmp/busybox-new'), refusedAs('drift', 'createExecutable'));
  });

  test('does not execute a program of the image that was changed', async () => {
    assert.notEqual((await container.exec('/usr/local/bin/hello')).stdout, 'hello\n');
    assert.deepEqual(
      await wordOn(gate, 'exec', '/usr/local/bin/hello'),
      refusedAs('drift', 'modifyExecutable'),
    );
  });

  test('does not execute a dynamic program that has no file, and executes any other way', async () => {
    const fromMemory = () => opener(container, 'memory', '/usr/bin/dynamic', 'ran');
    // At first an exec may have been under way when the gate opened.
    await eventually('it is refused', async () => (await fromMemory()) === 'EPERM');
    assert.deepEqual(await wordOn(gate, 'exec', '/memfd:memory'), refusedAs('fileless', 'createExecutable'));
    assert.equal((await container.exec(loader, '/usr/bin/dynamic', 'ran')).stdout, 'ran\n');
    assert.equal((await container.exec('/usr/bin/script')).stdout, 'by /usr/bin/script\n');
    // An exec that fails, and one that is refused, leave nothing behind.
    const line = '/etc/passwd; /tmp/none; /tmp/busybox-new; /usr/bin/dynamic ran; exec /usr/bin/dynamic ran';
    const all = await Promise.all(
      Array.from({ length: 8 }, () => container.sh(`for i in 1 2 3 4; do (${line}); done`)),
    );
    for (const { stdout } of all) assert.equal(stdout, 'ran\n'.repeat(8));
    assert.equal(gate.events.filter(({ reason }) => reason === 'fileless').length, 1);
  });

  test('does not load a program that is new by a loader of the image, and loads those of the image', async () => {
    assert.equal((await container.exec(loader, '/usr/bin/dynamic', 'ran')).stdout, 'ran\n');
    for (const by of [[], ['/bin/opener', 'threaded']]) {
      assert.notEqual((await container.exec(...by, loader, '/tmp/dynamic-new', 'ran')).stdout, 'ran\n');
    }
    assert.deepEqual(await wordOn(gate, 'load', '/tmp/dynamic-new'), refusedAs('drift', 'createExecutable'));
    assert.equal((await container.exec('/bin/cat', '/tmp/dynamic-new')).exitCode, 0);
  });

  test('executes what an exclude covers', async () => {
    assert.equal(await runs('/opt/trusted/busybox-kept'), true);
  });

  test('executes everything when no rule blocks any more', async () => {
    const table = tableOf({
      file: {
        selectors: [{ name: 'programs', operation: ['createExecutable', 'modifyExecutable'] }],
        responses: [{ match: ['programs'], actions: ['alert'] }],
      },
    });
    await gate.ask({ type: 'publish', key: await gate.keyOf(id), table, generation: 9 });
    assert.equal(await runs('/tmp/busybox-new'), true);
  });
});

describe('mode observe', { skip }, () => {
  test('tells what enforce would contain, and lets it be executed', async (t) => {
    const id = idOf('observing');
    const gate = await testGate({ tables: { [id]: noNewPrograms() }, options: { mode: 'observe' } });
    t.after(gate.close);
    const container = await host.startRunc({ id });
    t.after(container.remove);
    await container.sh('cat /bin/busybox > /tmp/busybox-x; chmod 755 /tmp/busybox-x');
    assert.equal((await wordOn(gate, 'attributes', '/tmp/busybox-x')).outcome, 'detected');
    assert.equal((await container.exec('/tmp/busybox-x', 'echo', 'ran')).stdout, 'ran\n');
    const { outcome, reason } = await wordOn(gate, 'exec', '/tmp/busybox-x');
    assert.deepEqual([outcome, reason], ['detected', 'drift']);
  });
});

describe('a gate with fewer capabilities than the keeper’s pod', { skip }, () => {
  test('contains what users of the container do in folders of their own', async (t) => {
    if (!isInstalled('setpriv')) return t.skip('needs setpriv');
    const id = idOf('capable');
    const granted = '-all,+sys_admin,+sys_ptrace,+dac_read_search';
    const gate = await testGate({ tables: { [id]: noNewPrograms() } }, [
      'setpriv',
      '--bounding-set',
      granted,
      '--inh-caps',
      '-all',
    ]);
    t.after(gate.close);
    const container = await host.startRunc({ id });
    t.after(container.remove);
    await container.sh('mkdir /tmp/own && cat /bin/busybox > /tmp/own/busybox-x && chmod 700 /tmp/own');
    await container.sh('chown -R 1000 /tmp/own; chmod 755 /tmp/own/busybox-x');
    const { outcome } = await wordOn(gate, 'attributes', '/tmp/own/busybox-x');
    assert.ok(outcome === 'contained' || outcome === 'reverted', outcome);
    assert.notEqual((await container.exec('/tmp/own/busybox-x', 'echo', 'ran')).stdout, 'ran\n');
    assert.equal((await container.exec('/bin/busybox', 'echo', 'ran')).stdout, 'ran\n');
    assert.deepEqual(gate.failures, []);
  });
});
