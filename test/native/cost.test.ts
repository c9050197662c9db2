/** What a gate costs: memory, and that many openers are answered without holding each other up. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, type TestContext, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { fileTable, testGate } from '../support/testGate.ts';

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

/** Containers whose every open is judged, and the gate that does. */
async function busy(t: TestContext, options: { maxGroups?: number }) {
  const ids = Array.from(
    { length: containerCount },
    () => `${containerPrefix}${process.pid}-cost-${++count}`,
  );
  const table = fileTable(['modifyFile'], ['/etc/passwd'], ['alert', 'block']);
  const gated = await testGate({ tables: Object.fromEntries(ids.map((id) => [id, table])), options });
  t.after(gated.close);
  const containers: Container[] = [];
  for (const id of ids) {
    const container = await host.startRunc({ id });
    t.after(container.remove);
    containers.push(container);
  }
  return { gated, containers };
}

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
function keeperMemory(pid: number): { resident: number; detail: string } {
  for (const folder of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    let status = '';
    try {
      status = readFileSync(`/proc/${folder}/status`, 'utf8');
    } catch {
      continue; // it has ended meanwhile
    }
    if (!status.includes(`\nPPid:\t${pid}\n`) || !status.startsWith('Name:\td4c-gate-keepe')) continue;
    const lines = status.split('\n').filter((line) => /^(VmRSS|Rss|Threads)/.test(line));
    return {
      resident: Number(/VmRSS:\s*(\d+)/.exec(status)?.[1]),
      detail: lines.join(', ').replaceAll(/\s+/g, ' '),
    };
  }
  throw new Error(`no keeper of ${pid}`);
}

describe('many openers in several containers', { skip }, () => {
  for (const [title, options] of [
    ['of groups of their own', {}],
    ['that share a group', { maxGroups: 1 }],
  ] as const) {
    test(`${title} are all answered, and the keeper stays small`, async (t) => {
      const { gated, containers } = await busy(t, options);
      const opens = await openAll(containers);
      const all = opens.reduce((sum, each) => sum + each, 0);
      const { verdicts, late, groups } = await gated.stats();
      const { resident, detail } = keeperMemory(gated.pid);
      t.diagnostic(`${((busyMs * 1000) / all).toFixed(1)} us per open; keeper: ${detail}`);
      assert.equal(opens.length, containerCount * openersEach);
      assert.ok(Math.min(...opens) > 0, `an opener was never answered: ${opens}`);
      assert.ok(verdicts >= all, `${verdicts} verdicts for ${all} opens`);
      assert.equal(late, 0);
      assert.equal(groups, 'maxGroups' in options ? 1 : containerCount);
      assert.ok(resident <= maxKeeperKiB, detail);
    });
  }
});
