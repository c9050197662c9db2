/** Container root filesystems that come back as fast as they go, in groups that are shared, let go of and opened again. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must } from '../support/programs.ts';
import { execTable, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
const cgroups = ['/sys/fs/cgroup', '/sys/fs/cgroup/pids'].find((path) =>
  existsSync(join(path, 'cgroup.procs')),
);
const rounds = 100;
const workers = 3;
let host: ContainerHost;
let program = '';

before(async () => {
  if (skip !== undefined) return;
  host = await gateHost();
  program = join(host.folder, 'returning');
  await must('gcc', ['-O1', '-Wall', '-o', program, join(import.meta.dirname, '../support/returning.c')]);
});
after(() => host?.close());

describe('a root filesystem that goes and comes back', {
  skip: skip ?? (cgroups === undefined && 'needs cgroups'),
}, () => {
  for (const [groups, maxGroups] of [
    ['one group for all', 1],
    ['a group for each', 1_000],
  ] as const) {
    test(`has its execs refused in every round and none unanswered, with ${groups}`, async (t) => {
      const ids = Array.from(
        { length: workers },
        (_, at) => `${containerPrefix}${process.pid}-${maxGroups}-${at}`,
      );
      const table = execTable(['/bin/opener'], ['alert', 'block']);
      const tables = Object.fromEntries(ids.map((id) => [id, table]));
      // Beyond the time for which the rounds may last, so that none is let go as unknown.
      const gate = await testGate({ publish: 'found', tables, options: { maxGroups, holdMs: 60_000 } });
      t.after(gate.close);
      const keeper = (await readFile(`/proc/${gate.pid}/task/${gate.pid}/children`, 'utf8')).trim();
      // With the containers of others, if the machine has any.
      const atFirst = await gate.stats();
      const ended = await Promise.all(
        ids.map(async (id) => {
          const [folder, cgroup] = [join(host.folder, id), join(cgroups ?? '', id)];
          for (const name of ['rootfs', 'upper', 'work'])
            await mkdir(join(folder, name), { recursive: true });
          await mkdir(cgroup);
          const args = [join(host.folder, 'image'), folder, cgroup, keeper, String(rounds)];
          const { stdout } = await must(program, args, { limitMs: 60_000 }).finally(() => rmdir(cgroup));
          return stdout.trim().split(' ').map(Number);
        }),
      );
      t.diagnostic(ended.map((line) => line.join(' ')).join(', '));
      for (const [refused, allowed, other, longestUs = 0] of ended) {
        assert.deepEqual([refused, allowed, other], [rounds, 0, 0]);
        assert.ok(longestUs < 5_000_000, `${longestUs} us`);
      }
      await eventually('every root filesystem and its group are gone', async () => {
        const { roots, groups } = await gate.stats();
        const isGone = gate.containers.every(({ id, key }) => !ids.includes(id) || gate.gone.includes(key));
        return isGone && roots === atFirst.roots && groups === atFirst.groups;
      });
      // What is unmounted at the host while its container still executes cannot be marked otherwise any more; its marks stay.
      const others = gate.failures.filter(({ detail }) => !detail.endsWith('Stale file handle'));
      assert.deepEqual(others, []);
    });
  }
});
