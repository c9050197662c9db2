import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { must } from '../support/programs.ts';

const root = join(import.meta.dirname, '../..');
const isBuilt = existsSync(join(root, 'build/Release/d4c_gate.node'));

/** In a process of its own: 64 MiB of buffers of which every hundredth stays, so that the C library cannot give the rest back by itself. */
const script = `
import { readFileSync } from 'node:fs';
import { giveMemoryBackRegularly } from '${root}/src/node/freedMemory.ts';
const residentMiB = () => Number(/VmRSS:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
let all = Array.from({ length: 1_024 }, () => Buffer.allocUnsafeSlow(64 << 10).fill(1));
const kept = all.filter((_, index) => index % 100 === 99);
all = undefined;
gc();
const before = residentMiB();
giveMemoryBackRegularly();
// V8 frees buffers in a thread of its own, so it may take a second time.
for (let waits = 0; before - residentMiB() < 40 && waits < 50; waits++) await new Promise((resolve) => setTimeout(resolve, 100));
process.stdout.write(JSON.stringify({ before, after: residentMiB(), kept: kept.length }));
`;

test('memory that was freed between what is still used is given back, and the process may end', {
  skip: isBuilt ? false : 'the addon is not built',
}, async () => {
  const { stdout } = await must(process.execPath, ['--expose-gc', '--input-type=module', '--eval', script]);
  const { before, after } = JSON.parse(stdout);
  assert.ok(before - after > 40, `${before} MiB before, ${after} after`);
});
