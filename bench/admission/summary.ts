/** From the numbers of several rounds to what is printed: medians, and how far the rounds are apart. */

import type { Numbers } from './measure.ts';

export type ServerName = 'd4c-gate' | 'pepr' | 'express';

/** The medians of all rounds. */
export interface Row extends Numbers {
  readonly server: ServerName;
  readonly policies: number;
  readonly rounds: number;
  /** Least and most of the rounds. */
  readonly requestsPerSecondSpread: readonly [least: number, most: number];
  readonly p99MsSpread: readonly [least: number, most: number];
  readonly processorUsSpread: readonly [least: number, most: number];
}

export function rowOf(server: ServerName, policies: number, rounds: readonly Numbers[]): Row {
  const of = (key: keyof Numbers): number[] => rounds.map((numbers) => numbers[key]);
  return {
    server,
    policies,
    requestsPerSecond: Math.round(median(of('requestsPerSecond'))),
    p50Ms: rounded(median(of('p50Ms'))),
    p99Ms: rounded(median(of('p99Ms'))),
    processorUs: Math.round(median(of('processorUs'))),
    rssMiB: Math.round(median(of('rssMiB'))),
    rounds: rounds.length,
    requestsPerSecondSpread: spreadOf(of('requestsPerSecond').map(Math.round)),
    p99MsSpread: spreadOf(of('p99Ms').map(rounded)),
    processorUsSpread: spreadOf(of('processorUs').map(Math.round)),
  };
}

export function textOf(row: Row): string {
  const { server, policies, requestsPerSecond, p50Ms, p99Ms, processorUs, rssMiB } = row;
  const between = ([least, most]: readonly [number, number]): string =>
    row.rounds === 1 ? '' : ` (${least}..${most})`;
  const columns = [
    `${requestsPerSecond} /s${between(row.requestsPerSecondSpread)}`,
    `p50 ${p50Ms} ms`,
    `p99 ${p99Ms} ms${between(row.p99MsSpread)}`,
    `${processorUs} us each${between(row.processorUsSpread)}`,
    `${rssMiB} MiB`,
  ];
  const of = server === 'express' ? '' : String(policies);
  return `${server.padEnd(10)}${of.padStart(7)}  ${columns.join(', ')}`;
}

/**
 * How much more the second costs than the first. Of each round alone, since its two were measured one right after the
 * other, and then the median: what the machine does from one round to the next is in neither.
 */
export function comparisonOf(few: readonly Numbers[], many: readonly Numbers[]): string {
  const share = (key: 'requestsPerSecond' | 'processorUs'): string => {
    const ratios = few.map((numbers, round) => (many[round]?.[key] ?? Number.NaN) / numbers[key]);
    const percent = (ratio: number): string => `${ratio >= 1 ? '+' : ''}${((ratio - 1) * 100).toFixed(1)} %`;
    const [least, most] = spreadOf(ratios);
    return `${percent(median(ratios))} (${percent(least)}..${percent(most)})`;
  };
  return `reviews per second ${share('requestsPerSecond')}, processor's time for each ${share('processorUs')}`;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

function spreadOf(values: readonly number[]): [least: number, most: number] {
  return [Math.min(...values), Math.max(...values)];
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
