/**
 * `npm run bench:admission [-- --output json] [-- --seconds N]`: what an admission review costs, by number of policies.
 *
 * Each server answers reviews of the same 7 kB pod, of which one policy matches: first as many as it can, then 1,000 per
 * second. Peers in the same run, with the same certificate: a bare express server, and Pepr with the same bindings.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { reviewText } from './admission/input.ts';
import { ask, loadClosed, loadOpen } from './admission/load.ts';
import { type Measured, peprMissing, startD4cGate, startExpress, startPepr } from './admission/servers.ts';
import { hasWrk, loadWithWrk } from './admission/wrk.ts';

interface Row {
  server: 'd4c-gate' | 'pepr' | 'express';
  policies: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
}

const { values: flags } = parseArgs({
  options: { output: { type: 'string', default: 'text' }, seconds: { type: 'string', default: '10' } },
});
const seconds = Number(flags.seconds);
if (
  !['text', 'json'].includes(flags.output) ||
  !(Number.isInteger(seconds) && seconds >= 1 && seconds <= 600)
) {
  process.stderr.write('usage: npm run bench:admission -- [--output text|json] [--seconds 1..600]\n');
  process.exit(2);
}
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const ratePerSecond = 1_000;
const warmUpSeconds = Math.min(3, seconds);
const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-bench-'));
const body = reviewText();
const rows: Row[] = [];
/** What the table says besides: memory, and the processor's time for one review, which other work on the machine disturbs least. */
const costs = new Map<Row, { rssMiB: number; processorUs: number }>();

const withWrk = await hasWrk();
if (!withWrk)
  say(
    'wrk is missing (Debian: apt-get install wrk): throughput is measured by the own client, which is slower',
  );
const withoutPepr = await peprMissing();
if (withoutPepr !== undefined) say(`skipped: pepr: ${withoutPepr}`);

async function measure(
  server: Row['server'],
  policies: number,
  start: () => Promise<Measured>,
): Promise<void> {
  const { target, pid, stop } = await start();
  try {
    const throughput = (during: number): Promise<number> =>
      withWrk ? loadWithWrk(folder, target, during) : loadClosed(target, during);
    await throughput(warmUpSeconds);
    const before = await processorMs(pid);
    const requestsPerSecond = Math.round(await throughput(seconds));
    const processorUs = (((await processorMs(pid)) - before) * 1_000) / (requestsPerSecond * seconds);
    const { p50Ms, p99Ms, failed } = await loadOpen(target, ratePerSecond, seconds);
    const row: Row = { server, policies, requestsPerSecond, p50Ms: rounded(p50Ms), p99Ms: rounded(p99Ms) };
    rows.push(row);
    costs.set(row, { rssMiB: await residentMiB(pid), processorUs });
    const late = failed === 0 ? '' : `; ${failed} of ${ratePerSecond * seconds} not answered in time`;
    say(`${textOf(row)}${late}`);
  } finally {
    await stop();
  }
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1_024;
}

/** Of all threads, from its start. The kernel counts in hundredths of a second. */
async function processorMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}

function textOf(row: Row): string {
  const { server, policies, requestsPerSecond, p50Ms, p99Ms } = row;
  const of = server === 'express' ? '' : String(policies);
  const columns = [`${requestsPerSecond} /s`, `p50 ${p50Ms} ms`, `p99 ${p99Ms} ms`];
  const { rssMiB = Number.NaN, processorUs = Number.NaN } = costs.get(row) ?? {};
  columns.push(`${Math.round(processorUs)} us each`, `${Math.round(rssMiB)} MiB`);
  return `${server.padEnd(10)}${of.padStart(7)}${columns.map((text) => text.padStart(17)).join('')}`;
}

try {
  say(
    `a review of ${body.length} bytes; ${seconds} s at full speed, then ${seconds} s at ${ratePerSecond} per second`,
  );
  let answer = '';
  for (const policies of [10, 100, 1_000, 10_000]) {
    await measure('d4c-gate', policies, async () => {
      const started = await startD4cGate(folder, policies, body);
      answer = await ask(started.target);
      return started;
    });
    if (policies === 10) await measure('express', 0, () => startExpress(folder, answer, body));
    if (withoutPepr !== undefined || policies > 1_000) continue;
    await measure('pepr', policies, () => startPepr(folder, policies, body));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

if (flags.output === 'json') process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
else for (const row of rows) process.stdout.write(`${textOf(row)}\n`);
