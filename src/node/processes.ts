/** What `/proc` tells of processes that the kernel's events do not. */

import { readFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';

const freshMs = 500;

/** Processes by the filesystem that is their root. */
export interface RootIndex {
  /** Processes whose root lies on the device, such as `0:45`, ascending. At most half a second old. */
  processesOn(device: string): Promise<readonly number[]>;
}

/** Scans `/proc` at most twice a second, however many containers ask. */
export function rootIndex(): RootIndex {
  let scan: Promise<Map<string, number[]>> | undefined;
  let scannedAt = Number.NEGATIVE_INFINITY;
  return {
    async processesOn(device) {
      if (scan === undefined || performance.now() - scannedAt > freshMs) {
        scannedAt = performance.now();
        scan = scanRoots();
      }
      return (await scan).get(device) ?? [];
    },
  };
}

async function scanRoots(): Promise<Map<string, number[]>> {
  const byDevice = new Map<string, number[]>();
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);
  for (const pid of pids.sort((a, b) => a - b)) {
    // KERNEL: stat raises no permission event, so this may look into a filesystem that the gate has marked.
    const root = await stat(`/proc/${pid}/root`, { bigint: true }).catch(() => undefined);
    if (root === undefined) continue;
    const device = deviceText(root.dev);
    byDevice.set(device, [...(byDevice.get(device) ?? []), pid]);
  }
  return byDevice;
}

/** `major:minor` as mount tables write it, from the number of `stat`, which scatters the bits of both. */
export function deviceText(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xff_ff_ff_00n);
  return `${major}:${minor}`;
}

/**
 * When the machine was started, in microseconds since 1970; process start times count from it. In whole seconds, as the
 * kernel says it: a finer one would come out differently after each restart, and the entity IDs of processes with it.
 */
export function bootTimeUs(): number {
  const seconds = /^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1];
  return Number(seconds ?? 0) * 1e6;
}
