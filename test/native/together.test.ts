/** Events that come so fast that several are read at once: each gets its own answer, and none is lost. */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, must } from '../support/programs.ts';
import { tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements();
const openMs = 1_500;
let host: ContainerHost;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const blocks = (match: string, selector: object) => ({
  selectors: [{ name: match, ...selector }],
  responses: [{ match: [match], actions: ['alert', 'block'] }],
});
const policy = {
  file: blocks('passwd', { operation: ['modifyFile'], targetFilePath: ['/etc/passwd'] }),
  process: blocks('true', { operation: ['exec'], processExecutable: ['/bin/refused'] }),
};

interface Opened {
  readonly opens: number;
  readonly refused: number;
}

/** So many processes open the path again and again, all at once, for so many milliseconds or until the file exists. */
async function openers(
  container: Container,
  count: number,
  path: string,
  flag: string,
  until: string | number = openMs,
): Promise<Opened> {
  const one = `/bin/opener poll ${path} ${until} ${flag}`;
  const { stdout, stderr, exitCode } = await container.sh(`for i in $(seq ${count}); do ${one} & done; wait`);
  assert.equal(exitCode, 0, stderr);
  const lines = stdout.trim().split('\n');
  assert.equal(lines.length, count);
  const numbers = lines.map((line) => line.split(' ').map(Number));
  const sum = (at: number) => numbers.reduce((all, line) => all + (line[at] ?? Number.NaN), 0);
  return { opens: sum(0), refused: sum(1) };
}

async function gateOn(id: string) {
  const gate = await testGate({ tables: { [id]: tableOf(policy) } });
  const container = await host.startRunc({ id });
  await container.sh('cp /bin/true /bin/refused');
  return { gate, container };
}

test('readers, writers and execs of one container are told from each other', { skip }, async (t) => {
  const id = `${containerPrefix}${process.pid}-together`;
  const { gate, container } = await gateOn(id);
  t.after(gate.close);
  t.after(container.remove);
  const execs = 'for i in $(seq 40); do /bin/refused 2>/dev/null; echo $?; done';
  const [reading, writing, elsewhere, ran] = await Promise.all([
    openers(container, 12, '/etc/passwd', 'RDONLY'),
    openers(container, 3, '/etc/passwd', 'WRONLY'),
    openers(container, 3, '/etc/group', 'RDWR'),
    container.sh(execs),
  ]);
  assert.equal(reading.refused, 0);
  assert.equal(elsewhere.refused, 0);
  assert.equal(writing.refused, writing.opens);
  assert.equal(ran.stdout, '126\n'.repeat(40));
  const { verdicts, denied, late } = await gate.stats();
  assert.equal(denied, writing.opens + 40);
  assert.equal(late, 0);
  assert.ok(verdicts >= reading.opens + writing.opens + elsewhere.opens + 40);
  t.diagnostic(`${reading.opens} opens for reading, ${writing.opens} refused`);
});

test('an event among others for which no descriptor is left is refused and counted', { skip }, async (t) => {
  const id = `${containerPrefix}${process.pid}-together-descriptors`;
  const { gate, container } = await gateOn(id);
  t.after(gate.close);
  t.after(container.remove);
  const opening = openers(container, 24, '/etc/group', 'RDONLY', '/tmp/stop');
  await eventually('all of them run', async () => {
    const running = (await container.sh('pidof opener')).stdout.trim().split(' ');
    return running.length === 24;
  });
  const keeper = (await readFile(`/proc/${gate.pid}/task/${gate.pid}/children`, 'utf8')).trim();
  const used = new Set((await readdir(`/proc/${keeper}/fd`)).map(Number));
  let free = 0;
  while (used.has(free)) free++;
  const limit = (files: number) => must('prlimit', ['--pid', keeper, `--nofile=${files}:`]);
  await limit(free + 2);
  await eventually('an event has no descriptor', () =>
    gate.failures.find(({ failure }) => failure === 'event_unread'),
  );
  await limit(1024);
  await container.sh('touch /tmp/stop');
  const { opens, refused } = await opening;
  assert.ok(refused > 0, `none of ${opens} was refused`);
  t.diagnostic(`${refused} of ${opens} were refused`);
  const unread = () =>
    gate.failures
      .filter(({ failure }) => failure === 'event_unread')
      .reduce((all, { count }) => all + count, 0);
  await eventually('each of them is counted', () => unread() === refused);
});
