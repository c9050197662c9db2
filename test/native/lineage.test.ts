/** To whom the processes of real containers belong. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import type { ContainerHost } from '../support/containers.ts';
import { leaveNoDescriptor } from '../support/detainer.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, run } from '../support/programs.ts';
import { execTable, fileTable, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

/** A container with such a table, under a gate of its own. `args`: its program. */
async function gatedContainer(t: TestContext, name: string, table: string, args?: readonly string[]) {
  const id = `${containerPrefix}${process.pid}-${name}`;
  const gated = await testGate({ tables: { [id]: table } });
  t.after(gated.close);
  const container = await host.startRunc({ id, ...(args && { args }) });
  t.after(container.remove);
  return { id, gated, container };
}

test('entries are the first program and each exec into a container; what they start belongs to them', {
  skip,
}, async (t) => {
  // The shell stays: it is the session leader, and what it starts in the background is of a group of its own.
  const args = ['/bin/sh', '-c', 'set -m; /bin/sleep 1000 & wait'];
  const { gated, container } = await gatedContainer(t, 'lineage', execTable(['/**'], ['alert']), args);

  const shell = await gated.event(({ process }) => process.args[0] === '/bin/sh');
  assert.deepEqual([shell.entryLeader?.pid, shell.entryType], [shell.process.pid, 'container']);
  assert.equal(shell.process.sessionPid, shell.process.pid);

  const sleep = await gated.event(({ process }) => process.args[0] === '/bin/sleep');
  assert.deepEqual([sleep.entryLeader?.pid, sleep.entryType], [shell.process.pid, 'container']);
  assert.equal(sleep.process.sessionPid, shell.process.pid);
  assert.deepEqual([sleep.parent?.pid, sleep.parent?.args[1]], [shell.process.pid, '-c']);
  // It is its parent, of which all has been told.
  assert.deepEqual([sleep.sessionLeader, Object.keys(sleep.entryLeader ?? {})], [undefined, ['pid']]);

  await container.sh('/bin/true; exit 0');
  const entered = await gated.event(({ process }) => process.args[2] === '/bin/true; exit 0');
  assert.deepEqual([entered.entryLeader?.pid, entered.entryType], [entered.process.pid, 'container']);
  const child = await gated.event(({ process }) => process.args[0] === '/bin/true');
  assert.equal(child.entryLeader?.pid, entered.process.pid);
  assert.equal(child.parent?.executable, '/bin/busybox');
});

test('a process is as interactive as it is now, also when it has left its session, or that its terminal', {
  skip: skip ?? (isInstalled('script') ? undefined : 'needs script'),
}, async (t) => {
  const { id, gated } = await gatedContainer(t, 'sheds', execTable(['/bin/busybox'], ['log']));
  for (const what of ['session', 'terminal']) {
    await run('script', ['-qec', `runc exec --tty ${id} /bin/opener sheds ${what} /bin/true`, '/dev/null']);
    const told = async (when: string) => {
      const { process: child, parent } = await gated.event(({ process: { args } }) => args[1] === when);
      return [child.interactive, parent?.interactive];
    };
    assert.deepEqual(await told('before'), [true, true], what);
    assert.deepEqual(await told('after'), [false, false], what);
    const { sessionLeader } = await gated.event(({ process: { args } }) => args[1] === 'after');
    assert.equal(sessionLeader?.interactive, what === 'terminal' ? false : undefined);
    gated.events.length = 0;
  }
});

test('a parent is told as what it runs now, also when its second thread has executed that', {
  skip,
}, async (t) => {
  const { gated, container } = await gatedContainer(t, 'runs', execTable(['/usr/bin/linked'], ['log']));
  const then = ['/bin/opener', 'runs', '/usr/bin/linked', 'second'];
  await container.exec('/bin/opener', 'runs', '/usr/bin/linked', 'first', ...then);
  const told = (name: string) => gated.event(({ process: { args } }) => args[1] === name);
  const { parent: before } = await told('first');
  const { parent: now } = await told('second');
  assert.deepEqual([now?.pid, now?.startTicks], [before?.pid, before?.startTicks]);
  assert.deepEqual(now?.args, then);
});

test('whose a process is is known also after a hundred sessions, of which none was told', {
  skip,
}, async (t) => {
  const { id, gated, container } = await gatedContainer(t, 'far', execTable(['/usr/bin/linked'], ['log']));
  const line = 'if [ $1 = 0 ]; then /usr/bin/linked true; else setsid sh /tmp/far $(($1 - 1)); fi; :';
  await writeFile(join(host.folder, id, 'rootfs/tmp/far'), line);
  await container.sh('sh /tmp/far 100; :');
  const {
    process: last,
    entryLeader,
    entryType,
  } = await gated.event(({ path }) => path === '/usr/bin/linked');
  assert.equal(entryType, 'container');
  assert.ok(entryLeader !== undefined && entryLeader.pid < last.sessionPid);
});

test('whose a process is that could not be found out for want of a descriptor is found out the next time', {
  skip,
}, async (t) => {
  const table = fileTable(['createFile'], ['/tmp/*-told'], ['log']);
  const rests = (name: string) => `while ! [ -e /tmp/${name} ]; do sleep 0.02; done`;
  const line = `${rests('first')}; : > /tmp/first-told; ${rests('second')}; : > /tmp/second-told; sleep 1000`;
  const args = ['/bin/sh', '-c', `setsid sh -c '${line}' & wait`];
  const { id, gated, container } = await gatedContainer(t, 'unread', table, args);
  const [keeper = 0] = await keepersOf(gated.pid);
  const suffix = `/${container.pid}/stat`;
  const { hasDetained, letGo } = await leaveNoDescriptor(t, host.folder, keeper, {
    thread: 'd4c-reader',
    suffix,
  });
  const told = async (name: string) => {
    await writeFile(join(host.folder, id, 'rootfs/tmp', name), '');
    return gated.event(({ path }) => path === `/tmp/${name}-told`);
  };
  const first = await told('first');
  assert.ok(hasDetained());
  // Not `unknown` either, which says that nobody has started it.
  assert.deepEqual([first.entryLeader, first.entryType], [undefined, undefined]);
  await letGo();
  const second = await told('second');
  assert.equal(second.process.pid, first.process.pid);
  assert.deepEqual([second.entryLeader?.pid, second.entryType], [container.pid, 'container']);
});

test('forks are reported of containers alone, also of a process that ends at once', { skip }, async (t) => {
  const selectors = [{ name: 'forks', operation: ['fork', 'exec'], processExecutable: ['/bin/busybox'] }];
  const table = tableOf({ process: { selectors, responses: [{ match: ['forks'], actions: ['log'] }] } });
  const { gated, container } = await gatedContainer(t, 'forks', table);
  // Of processes of the host, which begin and end meanwhile, nothing is told.
  await container.sh('for i in 1 2 3; do (cd /); done; exit 0');
  const forks = await eventually('three forks are told', () => {
    const all = gated.events.filter(({ kind }) => kind === 'fork');
    return all.length >= 3 ? all : undefined;
  });
  const [shell] = new Set(forks.map(({ process: child }) => child.parentPid));
  assert.equal(new Set(forks.map(({ process: child }) => child.pid)).size, forks.length);
  for (const { process: child, parent, path, outcome, entryType, policies } of forks) {
    assert.deepEqual([child.parentPid, parent?.pid, path], [shell, shell, '/bin/busybox']);
    assert.deepEqual([outcome, entryType, policies[0]?.actions], ['detected', 'container', ['log']]);
  }
});
