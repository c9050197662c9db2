import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '../../src/events/message.ts';
import { creation, execution } from './observations.ts';

const where = 'pod shop/web-5d4f-abcde, container web (docker.io/library/nginx:1.25)';

test('says what was blocked, by whom and where', () => {
  assert.equal(
    messageOf(creation, true),
    `the creation of /tmp/archive.tar.gz by /bin/cp in ${where} was blocked`,
  );
});

test('says of an exec whose child asked for it', () => {
  assert.equal(messageOf(execution, false), `/bin/cp was executed by a child of /bin/sh in ${where}`);
  assert.match(messageOf({ ...execution, parent: undefined }, false), /executed by process 4001 in/);
});

test('never says blocked of what happened', () => {
  for (const outcome of ['contained', 'reverted', 'detected'] as const) {
    assert.doesNotMatch(messageOf({ ...creation, outcome }, true), /was blocked/);
  }
});

test('says in mode observe what enforce would do', () => {
  assert.match(
    messageOf({ ...creation, outcome: 'detected', mode: 'observe' }, true),
    /would have been blocked in mode enforce$/,
  );
});

test('says in mode observe of a kernel that asks nobody that enforce would do no more', () => {
  assert.match(
    messageOf({ ...creation, outcome: 'detected', mode: 'observe', isUnenforceable: true }, true),
    /on this kernel mode enforce could not block it either$/,
  );
});

test('does with what is known', () => {
  const bare = { ...creation, process: { pid: 7 }, container: {} };
  assert.equal(
    messageOf(bare, true),
    'the creation of /tmp/archive.tar.gz by process 7 in container of unknown name was blocked',
  );
});

test('shortens long IDs as runtimes do, and no others', () => {
  const inContainer = (id: string) => messageOf({ ...creation, container: { id } }, true);
  assert.match(inContainer('0123456789abcdef'.repeat(4)), /in container 0123456789ab was/);
  assert.match(inContainer('my-container-of-runc'), /in container my-container-of-runc was/);
});

test('says why rules about files refuse an exec', () => {
  const denied = { ...execution, outcome: 'prevented', hookPoint: 'fanotify__open_exec_perm' } as const;
  assert.match(messageOf({ ...denied, reason: 'drift' }, true), /was blocked, since it is not of the image$/);
  assert.match(messageOf({ ...denied, reason: 'contained' }, true), /since how it came to be could not/);
});

test('says in mode observe of what cannot be blocked that it would be contained', () => {
  const seen = { ...creation, outcome: 'detected', mode: 'observe', hookPoint: 'fanotify__rename' } as const;
  assert.match(
    messageOf(seen, true),
    /mode enforce would keep a program that came of it from being executed$/,
  );
});

test('says of a rename both names', () => {
  const file = { path: '/etc/passwd', oldPath: '/tmp/x' };
  const renaming = { ...creation, action: 'rename', outcome: 'detected', file } as const;
  assert.match(messageOf(renaming, false), /^\/tmp\/x to \/etc\/passwd was renamed by \/bin\/cp in/);
});

test('cuts names that are made to fill the log', () => {
  const long = { ...creation, file: { path: `/${'x'.repeat(100_000)}` } };
  assert.ok(messageOf(long, true).length < 1_500);
});
