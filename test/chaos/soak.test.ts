/** Many events in a row, with policies that change and containers that come and go: memory stays flat, and nothing is lost uncounted. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { startAgent } from '../support/agent.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { holdings, keeperIn } from '../support/keeper.ts';
import { eventually, must } from '../support/programs.ts';
import { lifetimeMs, sizes } from '../support/sizes.ts';

const image = { 'org.opencontainers.image.ref.name': 'registry.example/soaked:1' };
const policy = (name: string) => `
file:
  selectors:
    - { name: ${name}, operation: [modifyFile], targetFilePath: [/etc/passwd], containerImageName: [soaked] }
    - { name: other, operation: [modifyFile, createFile], targetFilePath: [/none], containerImageName: [soaked] }
  responses: [{ match: [${name}, other], actions: [alert, block] }]
`;
const openers = 4;
/** That readers open when they need them and keep. */
const fewFiles = 4;
const swapEveryMs = 500;

interface Sample {
  readonly verdicts: number;
  readonly keeperKib: number;
  readonly agentKib: number;
}

async function residentKib(pid: number): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

test(`memory is flat over ${sizes.events} events`, { skip: gateRequirements() }, async (t) => {
  const host = await gateHost();
  const { folder } = host;
  const keeper = keeperIn(folder);
  const socket = ['--containerd-socket', host.containerdSocket, '--output', 'stdout'];
  const agent = await startAgent(folder, { policy: policy('first') }, ...socket, ...keeper.flags);
  t.after(async () => {
    await agent.stop('SIGKILL');
    await keeper.end();
    await host.close();
  });
  // Documents are counted as they come; the last line may be in two parts.
  let documents = 0;
  agent.stdout.on('data', (chunk: Buffer) => {
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) documents++;
  });
  const { id } = await host.startRunc({ annotations: image });
  await eventually('it is bound', () => agent.log().includes(`"container":"${id}"`));
  const keeperPid = await keeper.pid();
  // What is opened once, with the first event of a kind.
  await must('runc', ['exec', id, '/bin/opener', 'poll', '/etc/passwd', '100', 'WRONLY']);
  assert.equal((await host.runRunc({ annotations: image, args: ['/bin/true'] })).exitCode, 0);
  await new Promise((resolve) => setTimeout(resolve, swapEveryMs));
  const before = {
    kib: await residentKib(keeperPid),
    ...(await holdings(keeperPid)),
  };

  // Half of them are refused and reported, half are judged and allowed.
  const sh = (line: string) => must('runc', ['exec', id, '/bin/sh', '-c', line], { limitMs: lifetimeMs });
  const line = ['passwd', 'group', 'passwd', 'group']
    .slice(0, openers)
    .map((name) => `/bin/opener poll /etc/${name} /tmp/stop WRONLY &`);
  const started = performance.now();
  const polling = sh(`${line.join(' ')} wait`);
  let starts = 0;
  let isOver = false;
  const churn = (async () => {
    while (!isOver) {
      await host.runRunc({ annotations: image, args: ['/bin/true'] });
      starts++;
    }
  })();
  const samples: Sample[] = [];
  const base = (await agent.status()).verdicts ?? 0;
  let swaps = 0;
  for (let verdicts = 0; verdicts < sizes.events; swaps++) {
    await agent.writePolicy('policy', policy(swaps % 2 === 0 ? 'second' : 'first'));
    await new Promise((resolve) => setTimeout(resolve, swapEveryMs));
    verdicts = ((await agent.status()).verdicts ?? 0) - base;
    samples.push({
      verdicts,
      keeperKib: await residentKib(keeperPid),
      agentKib: await residentKib(agent.pid),
    });
  }
  const seconds = (performance.now() - started) / 1000;
  isOver = true;
  await churn;
  await sh('mkdir /tmp/stop');
  await polling;

  let { denied = 0, eventsDropped = 0 } = await agent.status();
  await eventually(
    'all is told',
    async () => {
      ({ denied = 0, eventsDropped = 0 } = await agent.status());
      return documents + eventsDropped >= denied;
    },
    60_000,
  );
  const steps = [...Array(9).keys()].map((step) => samples[Math.floor((step * (samples.length - 1)) / 8)]);
  const curve = steps.map((one) => `${one?.verdicts}: ${one?.keeperKib}/${one?.agentKib}`).join(', ');
  t.diagnostic(
    `${Math.round(seconds)} s, ${starts} containers, ${swaps} policies, ${documents} documents, ${eventsDropped} counted as lost`,
  );
  t.diagnostic(`KiB of keeper/agent after so many events: ${curve}`);
  assert.equal(documents + eventsDropped, denied);

  const peak = (part: readonly Sample[], whose: 'keeperKib' | 'agentKib') =>
    Math.max(...part.map((sample) => sample[whose]));
  // A full queue of events is the most that a keeper has.
  assert.ok(peak(samples, 'keeperKib') <= 64 * 1024);
  assert.ok(peak(samples, 'agentKib') <= 400 * 1024);
  // How much of its garbage V8 lets lie is settled after a while.
  const warm = samples.filter(({ verdicts }) => verdicts >= Math.max(600_000, sizes.events / 3));
  if (warm.length > 20) {
    const half = Math.floor(warm.length / 2);
    const [first, second] = [peak(warm.slice(0, half), 'agentKib'), peak(warm.slice(half), 'agentKib')];
    assert.ok(second <= first * 1.1, `the agent had at most ${first} KiB and then ${second}`);
  }
  // What the allocator cannot give back lies between what is in use.
  let now = await holdings(keeperPid);
  let kib = 0;
  await eventually(
    'the keeper has given back what events took, and no descriptor and no thread is left behind',
    async () => {
      now = await holdings(keeperPid);
      kib = await residentKib(keeperPid);
      return (
        kib <= before.kib + 8 * 1024 && now.files <= before.files + fewFiles && now.threads <= before.threads
      );
    },
    20_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(before)}, ${JSON.stringify({ kib, ...now })}`);
  });
  t.diagnostic(`in the end: ${await residentKib(keeperPid)}/${await residentKib(agent.pid)}`);
});
