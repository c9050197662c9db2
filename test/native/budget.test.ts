/** What is remembered of several containers together that make files without end. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { gateRequirements, hostWithKeeper, opener } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { fileTable, testGate } from '../support/testGate.ts';

/** Each container alone has a bound of 8 MiB for what it may not execute; all together may take 40, and what is left of their shares. */
const greedyCount = 10;
const limitKib = 64 * 1024;

test('containers that make programs without end share what is remembered of them, and leave others their part', {
  skip: gateRequirements(),
}, async (t) => {
  const { host, keeper } = await hostWithKeeper(t);
  const idOf = (name: string | number) => `${containerPrefix}${process.pid}-budget-${name}`;
  const greedy = Array.from({ length: greedyCount }, (_, index) => idOf(index));
  const modest = idOf('modest');
  const table = fileTable(['createExecutable'], ['/tmp/**'], ['alert', 'block']);
  const gate = await testGate({
    options: { queueEvents: 64 },
    tables: Object.fromEntries([...greedy, modest].map((id) => [id, table])),
    place: { how: 'start', socket: keeper.socket },
  });
  t.after(gate.close);
  const containers = await Promise.all([...greedy, modest].map((id) => host.startRunc({ id })));
  for (const { remove } of containers) t.after(remove);
  const last = containers.pop();
  assert.ok(last);
  const makes = async (container: typeof last, path: string): Promise<string | undefined> => {
    await opener(container, 'mknod', path, '755');
    return (await gate.event((event) => event.path === path)).outcome;
  };
  // A round is no more than the kernel keeps for the keeper.
  for (let round = 0; round < 3; round++) {
    // What the agent does not take is dropped, so that nothing but the keeper takes time.
    process.kill(gate.pid, 'SIGSTOP');
    const making = containers.map((container) => opener(container, 'programs', `/tmp/${round}`, '1000'));
    await Promise.all(making).finally(() => process.kill(gate.pid, 'SIGCONT'));
    // By when all that came before is told, too.
    assert.equal(await makes(last, `/tmp/modest-${round}`), 'contained');
  }
  const status = await readFile(`/proc/${await keeper.pid()}/status`, 'utf8');
  const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]);
  t.diagnostic(`${kib} KiB`);
  assert.ok(kib <= limitKib, `${kib} KiB`);
  assert.ok(gate.failures.some(({ failure }) => failure === 'containment_full'));
  const [first] = containers;
  assert.ok(first);
  await opener(first, 'programs', '/tmp/more', '1');
  const { outcome } = await gate.event(({ path }) => path.startsWith('/tmp/more/'));
  assert.equal(outcome, 'detected', 'one that has had its share');
});
