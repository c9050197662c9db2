/** What a gate costs: memory, and that many openers are answered without holding each other up. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gatedContainers, gateHost, gateRequirements } from '../support/gateHost.ts';
import { keepersOf } from '../support/keeper.ts';

const skip = gateRequirements();
const containerCount = 6;
const openersEach = 8;
const busyMs = 1_500;
const maxKeeperKiB = 4 * 1024;
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

/** Opens of each opener, when all of them run at once for a while. */
async function openAll(containers: readonly Container[]): Promise<number[]> {
  const one = `/bin/opener poll /bin/busybox ${busyMs} RDONLY`;
  const script = `for i in $(seq ${openersEach}); do ${one} & done; wait`;
  const said = await Promise.all(containers.map((container) => container.exec('/bin/sh', '-c', script)));
  return said.flatMap(({ exitCode, stdout, stderr }) => {
    assert.equal(exitCode, 0, stderr);
    return stdout
      .trim()
      .split('\n')
      .map((line) => {
        const [opens = 0, refusals] = line.split(' ').map(Number);
        assert.equal(refusals, 0, line);
        return opens;
      });
  });
}

/** Of the keeper that the process started, in KiB. */
async function keeperMemory(pid: number): Promise<{ resident: number; detail: string }> {
  const [keeper] = await keepersOf(pid);
  const status = await readFile(`/proc/${keeper}/status`, 'utf8');
  const lines = status.split('\n').filter((line) => /^(VmRSS|Rss|Threads)/.test(line));
  return {
    resident: Number(/VmRSS:\s*(\d+)/.exec(status)?.[1]),
    detail: lines.join(', ').replaceAll(/\s+/g, ' '),
  };
}

describe('many openers in several containers', { skip }, () => {
  for (const [title, options] of [
    ['of groups of their own', {}],
    ['that share a group', { maxGroups: 1 }],
  ] as const) {
    test(`${title} are all answered, and the keeper stays small`, async (t) => {
      const { gate, containers } = await gatedContainers(t, host, {
        count: containerCount,
        name: `cost-${++count}`,
        options,
      });
      const opens = await openAll(containers);
      const all = opens.reduce((sum, each) => sum + each, 0);
      const { verdicts, late, groups, roots } = await gate.stats();
      const { resident, detail } = await keeperMemory(gate.pid);
      t.diagnostic(`${((busyMs * 1000) / all).toFixed(1)} us per open; keeper: ${detail}`);
      assert.equal(opens.length, containerCount * openersEach);
      assert.ok(Math.min(...opens) > 0, `an opener was never answered: ${opens}`);
      assert.ok(verdicts >= all, `${verdicts} verdicts for ${all} opens`);
      assert.equal(late, 0);
      // With the containers of others, if the machine has any.
      assert.ok(roots >= containerCount);
      assert.equal(groups, 'maxGroups' in options ? 1 : roots);
      assert.ok(resident <= maxKeeperKiB, detail);
    });
  }
});
