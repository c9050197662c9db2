/** What the benchmark of the gate gives: rows of two shapes, as text or as JSON. */

/** `listener` allows everything and looks at nothing (listener.c). */
export type GateName = 'none' | 'd4c-gate' | 'listener' | 'fapolicyd';

/** How long one operation takes. */
export interface LatencyRow {
  readonly case: string;
  readonly gate: GateName;
  readonly medianUs: number;
  readonly p99Us: number;
}

/** Anything else, with what it has to be: `<= 20` or `>= 50000`. */
export interface FigureRow {
  readonly case: string;
  readonly gate: GateName;
  readonly value: number;
  readonly unit: string;
  readonly goal?: string;
}

export type Row = LatencyRow | FigureRow;

/** At a share of the sorted values. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

/** One line for each row; of latencies with the ratio to no listener. */
export function textOf(rows: readonly Row[]): string {
  const noneOf = (row: LatencyRow) =>
    rows.find(
      (other): other is LatencyRow => 'medianUs' in other && other.case === row.case && other.gate === 'none',
    );
  return rows
    .map((row) => {
      const head = `${row.case.padEnd(56)} ${row.gate.padEnd(10)}`;
      if (!('medianUs' in row)) {
        const goal = row.goal === undefined ? '' : `  (${row.goal})`;
        return `${head} ${row.value.toFixed(1).padStart(8)} ${row.unit}${goal}\n`;
      }
      const ratio = (row.medianUs / (noneOf(row) ?? row).medianUs).toFixed(2);
      const [median, p99] = [row.medianUs, row.p99Us].map((us) => us.toFixed(1).padStart(8));
      return `${head} ${median} us  p99 ${p99} us  ${ratio}x\n`;
    })
    .join('');
}
