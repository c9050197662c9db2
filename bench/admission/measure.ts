/** One server under load: what it answers, how late, and what that costs its process. */

import { readFile } from 'node:fs/promises';
import { loadClosed, loadOpen } from './load.ts';
import type { Measured } from './servers.ts';
import { loadWithWrk } from './wrk.ts';

/** What one server does in one round. */
export interface Numbers {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the processor, for one review at full speed. */
  readonly processorUs: number;
  /** After both loads. */
  readonly rssMiB: number;
}

export interface Loads {
  readonly folder: string;
  readonly withWrk: boolean;
  readonly seconds: number;
  readonly perSecond: number;
}

const warmUpSeconds = 3;

/** @param say told of what was not answered in time */
export async function measure(
  { target, pid }: Measured,
  { folder, withWrk, seconds, perSecond }: Loads,
  say: (line: string) => void,
): Promise<Numbers> {
  const throughput = (during: number): Promise<number> =>
    withWrk ? loadWithWrk(folder, target, during) : loadClosed(target, during);
  await throughput(Math.min(warmUpSeconds, seconds));
  const before = await processorMs(pid);
  const requestsPerSecond = await throughput(seconds);
  const processorUs = (((await processorMs(pid)) - before) * 1_000) / (requestsPerSecond * seconds);
  const { p50Ms, p99Ms, failed } = await loadOpen(target, perSecond, seconds);
  if (failed > 0) say(`${failed} of ${perSecond * seconds} not answered in time`);
  return { requestsPerSecond, p50Ms, p99Ms, processorUs, rssMiB: await residentMiB(pid) };
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
