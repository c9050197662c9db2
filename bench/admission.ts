/**
 * `npm run bench:admission [-- --output json] [-- --seconds N] [-- --rounds N] [-- --only SERVER]`: what an admission
 * review costs, by number of policies.
 *
 * Each server answers reviews of the same 7 kB pod, of which one policy matches: first as many as it can, then 1,000 per
 * second. In each round every server is started anew and measured once, every other round in the opposite order, so that
 * what else the machine does falls on all alike. Peers in the same run, with the same certificate: a bare express server,
 * and Pepr with the same bindings.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reviewText } from './admission/input.ts';
import { ask } from './admission/load.ts';
import { measure, type Numbers } from './admission/measure.ts';
import {
  buildD4cGate,
  type Measured,
  peprMissing,
  startD4cGate,
  startExpress,
  startPepr,
} from './admission/servers.ts';
import { comparisonOf, rowOf, type ServerName, textOf } from './admission/summary.ts';
import { hasWrk } from './admission/wrk.ts';

interface Case {
  readonly server: ServerName;
  readonly policies: number;
  readonly start: () => Promise<Measured>;
  readonly rounds: Numbers[];
}

const servers: readonly ServerName[] = ['d4c-gate', 'express', 'pepr'];
const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: 'text' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
});
const [seconds, rounds] = [Number(flags.seconds), Number(flags.rounds)];
const isBetween = (value: number, most: number) => Number.isInteger(value) && value >= 1 && value <= most;
if (
  !['text', 'json'].includes(flags.output) ||
  !(isBetween(seconds, 600) && isBetween(rounds, 100)) ||
  !(flags.only === undefined || servers.some((server) => server === flags.only))
) {
  process.stderr.write(
    `usage: npm run bench:admission -- [--output text|json] [--seconds 1..600] [--rounds 1..100] [--only ${servers.join('|')}]\n`,
  );
  process.exit(2);
}
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-bench-'));
const body = reviewText();
const loads = { folder, withWrk: await hasWrk(), seconds, perSecond: 1_000 };
if (!loads.withWrk)
  say(
    'wrk is missing (Debian: apt-get install wrk): throughput is measured by the own client, which is slower',
  );
const isMeasured = (server: ServerName): boolean => flags.only === undefined || flags.only === server;
const withoutPepr = isMeasured('pepr') ? await peprMissing() : 'not asked for';
if (withoutPepr !== undefined) say(`skipped: pepr: ${withoutPepr}`);
await buildD4cGate();

let answer = '';
const cases: Case[] = [];
const add = (server: ServerName, policies: number, start: Case['start']): void => {
  if (isMeasured(server)) cases.push({ server, policies, start, rounds: [] });
};
for (const policies of [10, 100, 1_000, 10_000])
  add('d4c-gate', policies, () => startD4cGate(folder, policies, body));
add('express', 0, () => startExpress(folder, answer, body));
if (withoutPepr === undefined)
  for (const policies of [10, 100, 1_000]) add('pepr', policies, () => startPepr(folder, policies, body));

try {
  // Its answer is what express answers, and its certificate is that of all.
  const first = await startD4cGate(folder, 10, body);
  answer = await ask(first.target);
  await first.stop();
  say(
    `a review of ${body.length} bytes; ${seconds} s at full speed, then ${seconds} s at ${loads.perSecond} per second; ${rounds} rounds`,
  );
  for (let round = 0; round < rounds; round++) {
    for (const { server, policies, start, rounds: done } of round % 2 === 0 ? cases : cases.toReversed()) {
      const started = await start();
      try {
        const numbers = await measure(started, loads, say);
        done.push(numbers);
        say(textOf(rowOf(server, policies, [numbers])));
      } finally {
        await started.stop();
      }
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

const rows = cases.map(({ server, policies, rounds: done }) => rowOf(server, policies, done));
if (flags.output === 'json') process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
else for (const row of rows) process.stdout.write(`${textOf(row)}\n`);

const of = (policies: number): readonly Numbers[] =>
  cases.find((one) => one.server === 'd4c-gate' && one.policies === policies)?.rounds ?? [];
if (of(10).length > 0) say(`10,000 policies against 10, by rounds: ${comparisonOf(of(10), of(10_000))}`);
