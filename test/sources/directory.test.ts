import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdir, mkdtempDisposable, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { log } from '../../src/log.ts';
import { registry } from '../../src/metrics.ts';
import {
  type Generation,
  loadDirectory,
  type WatchOptions,
  watchDirectory,
} from '../../src/sources/directory.ts';
import { formatFault } from '../../src/sources/faults.ts';
import { eventually } from '../support/programs.ts';

const newFolder = () => mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));

const policy = (executable = '/usr/bin/sh'): string => `
process:
  selectors:
    - name: programs
      operation: [exec]
      processExecutable: [${executable}]
  responses:
    - match: [programs]
      actions: [log]
`;
const invalid = policy().replace('actions: [log]', 'actions: [shout]');

/** Watches a folder without the timer, so that what is seen was noticed, and records what it says. */
async function watched(t: TestContext, path: string, options: WatchOptions = {}) {
  const published: Generation[] = [];
  const refused: string[][] = [];
  const watch = await watchDirectory(path, {
    settleMs: 20,
    recheckMs: 3_600_000,
    onGeneration: (generation) => published.push(generation),
    onRefused: (faults, error) =>
      refused.push(error instanceof Error ? [error.message] : faults.map(formatFault)),
    ...options,
  });
  t.after(watch.close);
  const ids = () => watch.current().policies.map(({ id }) => id);
  return { watch, published, refused, ids };
}

test('a directory gives its policies, every fault, and the files', async () => {
  await using folder = await newFolder();
  await writeFile(join(folder.path, 'good.yaml'), policy());
  await writeFile(join(folder.path, 'good.yml'), policy());
  await writeFile(join(folder.path, 'bad.yaml'), invalid);
  await writeFile(join(folder.path, 'binary.yaml'), Buffer.from([0xff]));
  const { policies, faults, files } = await loadDirectory(folder.path);
  assert.deepEqual(
    policies.map(({ id }) => id),
    ['good', 'good'],
  );
  assert.deepEqual(faults.map(({ fault }) => fault.code).sort(), [
    'POLICY_ID_DUPLICATE',
    'POLICY_SYNTAX',
    'POLICY_UNKNOWN_ACTION',
  ]);
  assert.equal(files.length, 4);
});

test('mode and cluster name are those of the options', async () => {
  await using folder = await newFolder();
  await writeFile(join(folder.path, 'a.yaml'), policy().replace('operation: [exec]', 'unknownKey: 1'));
  const severities = async (options: object) =>
    (await loadDirectory(folder.path, options)).faults.map(({ fault }) => fault.severity);
  assert.ok((await severities({})).includes('error'));
  assert.ok(!(await severities({ mode: 'lenient' })).includes('error'));
});

test('a warning is logged once, and not again with each change of another file', async (t) => {
  await using folder = await newFolder();
  const write = (file: string, text: string) => writeFile(join(folder.path, file), text);
  const said = t.mock.method(log, 'warn');
  const lines = () =>
    said.mock.calls.map(({ arguments: [, line] }) => basename(String(line).split(':')[0] ?? ''));
  await write('old.yaml', policy('/bin/sh'));
  const { watch } = await watched(t, folder.path);
  assert.deepEqual(lines(), ['old.yaml']);
  await write('new.yaml', policy('/bin/ls'));
  await eventually('the change is seen', async () => {
    await watch.refresh();
    return watch.current().policies.length === 2;
  });
  assert.deepEqual(lines(), ['old.yaml', 'new.yaml']);
});

test('a first state with a fault is an error that names the first fault and counts the rest', async () => {
  await using folder = await newFolder();
  await writeFile(join(folder.path, 'a.yaml'), invalid);
  await writeFile(join(folder.path, 'b.yaml'), invalid);
  await assert.rejects(watchDirectory(folder.path), {
    code: 'POLICIES_INVALID',
    message: /a\.yaml:\d+:\d+: error: .*shout.* \(POLICY_UNKNOWN_ACTION\), and 1 more$/,
  });
  await assert.rejects(watchDirectory(join(folder.path, 'missing')), { code: 'FILE_UNREADABLE' });
});

test('an empty directory is a generation without policies', async (t) => {
  await using folder = await newFolder();
  const { watch } = await watched(t, folder.path);
  const { number, policies } = watch.current();
  assert.deepEqual({ number, policies }, { number: 1, policies: [] });
});

test('edits, new files, atomic renames and removals each make a generation', async (t) => {
  await using folder = await newFolder();
  const file = join(folder.path, 'a.yaml');
  await writeFile(file, policy());
  const { watch, published, ids } = await watched(t, folder.path);
  const first = watch.current();

  await writeFile(file, policy('/usr/bin/bash'));
  await eventually('the edit', () => watch.current().number === 2);
  assert.notEqual(watch.current(), first);
  assert.equal(first.policies.length, 1, 'whoever holds the first generation keeps it');

  await writeFile(join(folder.path, 'b.yaml'), policy());
  await eventually('the new file', () => ids().join() === 'a,b');

  await writeFile(join(folder.path, '.a.yaml.swp'), policy('/usr/bin/dash'));
  await rename(join(folder.path, '.a.yaml.swp'), file);
  await eventually('the rename', () => watch.current().number === 4);

  await unlink(file);
  await eventually('the removal', () => ids().join() === 'b');
  assert.deepEqual(
    published.map(({ number }) => number),
    [2, 3, 4, 5],
  );
});

test('the ..data swap of a mounted ConfigMap is one new generation', async (t) => {
  await using folder = await newFolder();
  const at = (name: string): string => join(folder.path, name);
  for (const [state, executable] of [
    ['..1', '/usr/bin/sh'],
    ['..2', '/usr/bin/bash'],
  ] as const) {
    await mkdir(at(state));
    for (const id of ['a', 'b']) await writeFile(at(`${state}/${id}.yaml`), policy(executable));
  }
  await symlink('..1', at('..data'));
  for (const id of ['a', 'b']) await symlink(`..data/${id}.yaml`, at(`${id}.yaml`));
  const { watch, published } = await watched(t, folder.path);

  await symlink('..2', at('..data_tmp'));
  await rename(at('..data_tmp'), at('..data'));
  await rm(at('..1'), { recursive: true });
  await eventually('the swap', () => watch.current().number === 2);
  const executables = watch
    .current()
    .policies.map(({ process }) => process.selectors[0]?.selector.processExecutable);
  assert.deepEqual(executables, [['/usr/bin/bash'], ['/usr/bin/bash']]);
  assert.equal(published.length, 1);
});

test('a bad state is reported with every fault, once, and the last good generation stays until a good one', async (t) => {
  await using folder = await newFolder();
  const file = join(folder.path, 'a.yaml');
  await writeFile(file, policy());
  const { watch, published, refused } = await watched(t, folder.path);
  const failuresBefore = await failureCount();
  await writeFile(file, invalid);
  await writeFile(join(folder.path, 'b.yaml'), invalid);
  await eventually('the refusal', () => refused.length > 0);
  await watch.refresh();
  await watch.refresh();
  assert.equal(watch.current().number, 1);
  assert.equal(refused.at(-1)?.length, 2);
  assert.match(refused.at(-1)?.[0] ?? '', /a\.yaml:\d+:\d+: error: .*\(POLICY_UNKNOWN_ACTION\)/);
  assert.ok((await failureCount()) > failuresBefore);

  await rm(join(folder.path, 'b.yaml'));
  await writeFile(file, policy('/usr/bin/bash'));
  await eventually('the repair', () => published.length > 0);
  assert.equal(watch.current().number, 2);
});

async function failureCount(): Promise<number> {
  const metric = await registry.getSingleMetric('d4c_gate_failures_total')?.get();
  const of = metric?.values.find(({ labels }) => labels.failure === 'policy_reload_refused');
  return of?.value ?? 0;
}

test('a directory that is removed keeps its last generation, and is followed again when it comes back', async (t) => {
  await using folder = await newFolder();
  const path = join(folder.path, 'policies');
  const make = async (executable: string): Promise<void> => {
    await mkdir(path);
    await writeFile(join(path, 'a.yaml'), policy(executable));
  };
  await make('/usr/bin/sh');
  const { watch, refused } = await watched(t, path, { recheckMs: 50 });
  await rm(path, { recursive: true });
  await eventually('the refusal', () => refused.some((reasons) => /no such file/.test(reasons[0] ?? '')));
  await setTimeout(200);
  assert.equal(refused.filter((reasons) => /no such file/.test(reasons[0] ?? '')).length, 1, 'told once');
  await make('/usr/bin/bash');
  await eventually(
    'the new directory',
    () =>
      watch.current().policies[0]?.process.selectors[0]?.selector.processExecutable?.[0] === '/usr/bin/bash',
  );
  const { number } = watch.current();
  await writeFile(join(path, 'a.yaml'), policy('/usr/bin/dash'));
  await eventually('a change of the new directory', () => watch.current().number > number);
});

test('the same contents make no generation, but the end of a bad state does', async (t) => {
  await using folder = await newFolder();
  const file = join(folder.path, 'a.yaml');
  await writeFile(file, policy());
  const { watch, published } = await watched(t, folder.path);
  await writeFile(file, policy());
  await writeFile(join(folder.path, 'notes.txt'), 'x');
  await watch.refresh();
  assert.equal(watch.current().number, 1);
  await writeFile(file, invalid);
  await watch.refresh();
  await writeFile(file, policy());
  await watch.refresh();
  assert.deepEqual(
    published.map(({ number }) => number),
    [2],
  );
});

test('a file that is being written is taken when it is whole', async (t) => {
  await using folder = await newFolder();
  const file = join(folder.path, 'a.yaml');
  const long = policy('/usr/bin/bash');
  await writeFile(file, policy());
  const { watch, published, refused } = await watched(t, folder.path, { settleMs: 100 });
  for (let length = 1; length < long.length; length += 40) {
    await writeFile(file, long.slice(0, length));
    await setTimeout(30);
  }
  await writeFile(file, long);
  await eventually('the whole file', () => watch.current().number === 2);
  assert.equal(published.length, 1);
  assert.deepEqual(refused, []);
});

test('without any notice the timer finds a change, also one with the same size and time', async (t) => {
  await using folder = await newFolder();
  await using elsewhere = await newFolder();
  const target = join(elsewhere.path, 'target.yaml');
  await writeFile(target, policy('/usr/bin/aaaa'));
  // The notice of a change of the target does not reach the directory of the link.
  await symlink(target, join(folder.path, 'a.yaml'));
  const { watch } = await watched(t, folder.path, { recheckMs: 50 });
  await writeFile(target, policy('/usr/bin/bbbb'));
  await eventually('the change behind the link', () => watch.current().number === 2);
});

test('reading 10,000 policies, and a change among them, holds up nothing else for longer than 40 milliseconds', async (t) => {
  await using folder = await newFolder();
  const text = (count: number) =>
    policy().replace('operation:', `kubernetesNamespace: [n${count}]\n      operation:`);
  for (let count = 0; count < 10_000; count++) {
    writeFileSync(join(folder.path, `p${count}.yaml`), text(count));
  }
  const turns = processorTurns();
  const { watch } = await watched(t, folder.path);
  const [first] = watch.current().policies;
  const firstMs = turns.longestMs();
  writeFileSync(join(folder.path, 'p5000.yaml'), text(0));
  await watch.refresh();
  turns.stop();
  assert.equal(watch.current().number, 2);
  assert.equal(watch.current().policies[0], first, 'what has not changed is the same object');
  // One slice is 5 milliseconds; the rest is the garbage collector.
  t.diagnostic(`longest turn: ${firstMs} ms at first, ${turns.longestMs()} ms in all`);
  assert.ok(turns.longestMs() < 40, `${turns.longestMs()} ms`);
});

/** The longest that this thread computed in one turn of the event loop. Time in which the machine did other work does not count. */
function processorTurns() {
  const nowMs = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  };
  let [last, longest, isOver] = [nowMs(), 0, false];
  const turn = (): void => {
    const now = nowMs();
    longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  return {
    longestMs: () => longest,
    stop: () => {
      isOver = true;
    },
  };
}
