/** The keeper's death lets go of whoever waits, whatever else watches the same filesystem. */

import assert from 'node:assert/strict';
import { mkdtemp, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { gateRequirements, hostWithKeeper } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must } from '../support/programs.ts';
import { bind } from '../support/runcConfig.ts';
import { fileTable, testGate } from '../support/testGate.ts';
import { pidOf, wchanOf } from '../support/waits.ts';

const script = 'read go < /data/go; read line < /data/file; echo "$line"';

/** In what the kernel has the shell wait that runs this script; empty when there is none. */
const waitOf = async (line: string): Promise<string> => wchanOf(await pidOf(`/bin/sh -c ${line}`));

/** On a busy machine some thread may go on for a while. */
async function hasStopped(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`);
  const stats = await Promise.all(threads.map((tid) => readFile(`/proc/${pid}/task/${tid}/stat`, 'utf8')));
  return stats.every((stat) => /\) T /.test(stat));
}

test('a keeper that is killed lets go of who opens a file on a volume whose filesystem it watches for changes, too', {
  skip: gateRequirements(),
}, async (t) => {
  const { host, keeper } = await hostWithKeeper(t);
  const id = `${containerPrefix}${process.pid}-dying`;
  const folder = await mkdtemp(join(host.folder, 'volume-'));
  await writeFile(join(folder, 'file'), 'read\n');
  await must('mkfifo', [join(folder, 'go')]);
  const table = fileTable(['createFile', 'deleteFile', 'modifyFile'], ['/data/**'], ['alert', 'block']);
  const gate = await testGate({ tables: { [id]: table }, place: { how: 'start', socket: keeper.socket } });
  t.after(gate.close);
  const container = await host.startRunc({ id, volumes: [bind(folder, '/data')] });
  t.after(container.remove);

  const reading = container.sh(script);
  // Opening it waits for a reader.
  const go = await open(join(folder, 'go'), 'w');
  const pid = await keeper.pid();
  process.kill(pid, 'SIGSTOP');
  await eventually('all of it has stopped', () => hasStopped(pid));
  await go.write('go\n');
  await go.close();
  await eventually('it waits for a verdict', async () => (await waitOf(script)) === 'fanotify_handle_event');
  process.kill(pid, 'SIGKILL');
  assert.equal((await reading).stdout, 'read\n');
});

test('a keeper that is killed lets go of who opens files of another container on a volume', {
  skip: gateRequirements(),
}, async (t) => {
  const { host, keeper } = await hostWithKeeper(t);
  // Which of two groups the kernel asks first is a matter of their addresses: with each of these openers it may be another one.
  const ids = Array.from({ length: 9 }, (_, index) => `${containerPrefix}${process.pid}-foreign-${index}`);
  const [opened = '', ...openers] = ids;
  const table = fileTable(['modifyFile'], ['/etc/**'], ['alert', 'block']);
  const tables = Object.fromEntries(ids.map((id) => [id, table]));
  const gate = await testGate({ tables, place: { how: 'start', socket: keeper.socket } });
  t.after(gate.close);
  t.after((await host.startRunc({ id: opened })).remove);
  const other = bind(join(host.folder, opened, 'rootfs'), '/other');

  const starting = openers.map(async (id) => {
    const folder = await mkdtemp(join(host.folder, 'volume-'));
    await must('mkfifo', [join(folder, 'go')]);
    const container = await host.startRunc({ id, volumes: [other, bind(folder, '/data')] });
    t.after(container.remove);
    const line = `read go < /data/go; read line < /other/etc/passwd; echo read in ${id}`;
    const reading = container.sh(line);
    return { id, line, reading, go: await open(join(folder, 'go'), 'w') };
  });
  const started = await Promise.all(starting);
  const pid = await keeper.pid();
  process.kill(pid, 'SIGSTOP');
  await eventually('all of it has stopped', () => hasStopped(pid));
  for (const { line, go } of started) {
    await go.write('go\n');
    await go.close();
    await eventually('it waits for a verdict', async () => (await waitOf(line)) === 'fanotify_handle_event');
  }
  process.kill(pid, 'SIGKILL');
  for (const { id, reading } of started) assert.equal((await reading).stdout, `read in ${id}\n`);
});
