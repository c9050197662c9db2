/** To whom the processes of real containers belong. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually } from '../support/programs.ts';
import { execTable, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

test('entries are the first program and each exec into a container; what they start belongs to them', {
  skip,
}, async (t) => {
  const id = `${containerPrefix}${process.pid}-lineage`;
  const gated = await testGate({ tables: { [id]: execTable(['/**'], ['alert']) } });
  t.after(gated.close);
  // The shell stays: it is the session leader, and what it starts in the background is of a group of its own.
  const container = await host.startRunc({ id, args: ['/bin/sh', '-c', 'set -m; /bin/sleep 1000 & wait'] });
  t.after(container.remove);

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

test('forks are reported of containers alone, also of a process that ends at once', { skip }, async (t) => {
  const id = `${containerPrefix}${process.pid}-forks`;
  const selectors = [{ name: 'forks', operation: ['fork', 'exec'], processExecutable: ['/bin/busybox'] }];
  const table = tableOf({ process: { selectors, responses: [{ match: ['forks'], actions: ['log'] }] } });
  const gated = await testGate({ tables: { [id]: table } });
  t.after(gated.close);
  const container = await host.startRunc({ id });
  t.after(container.remove);
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
