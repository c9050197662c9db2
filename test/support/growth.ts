/** Measures how the time of a function grows with its input, for promises of linear time. */

import assert from 'node:assert/strict';

const maxBytes = 1024 * 1024;
const attempts = 4;
/** What takes less at the full size is no trouble, and too short to compare. */
const negligibleMs = 0.5;

/**
 * Fails when doubling the input to 1 MiB takes 2.6 times as long or more. `prepare` makes an input of about
 * that many bytes and gives the call to be timed. Noise only ever adds time, so the least of several `runs` is the
 * truest; fewer do for what takes long.
 */
export function assertLinear(name: string, prepare: (bytes: number) => () => unknown, runs = 5): void {
  const [half, whole] = [prepare(maxBytes / 2), prepare(maxBytes)];
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const [halfMs, wholeMs] = [leastMs(half, runs), leastMs(whole, runs)];
    if (wholeMs < negligibleMs) return;
    least = Math.min(least, wholeMs / halfMs);
    if (least < 2.6) return;
  }
  assert.fail(`${name}: twice the input takes ${least.toFixed(2)} times as long`);
}

function leastMs(call: () => unknown, runs: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < runs; run += 1) {
    const started = computedMs();
    call();
    least = Math.min(least, computedMs() - started);
  }
  return least;
}

/** For how long this thread has had a processor, so that a neighbour that computes, too, makes no difference. */
function computedMs(): number {
  // KERNEL: only a question about the whole process brings the account of the thread that asks up to date; else that is some
  // milliseconds old.
  process.cpuUsage();
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
