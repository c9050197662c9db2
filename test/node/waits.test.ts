import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { openWaits } from '../../src/node/waits.ts';
import { must } from '../support/programs.ts';

test('a wait ends with what it waits for, whether that goes well or not', async () => {
  const waits = openWaits();
  await waits.until(Promise.resolve());
  await waits.until(Promise.reject(new Error('no')));
});

test('waits that are given up end, and so does one that begins later', async () => {
  const waits = openWaits();
  const never = new Promise(() => undefined);
  const both = Promise.all([waits.until(never), waits.until(never)]);
  waits.giveUp();
  await both;
  await waits.until(never);
});

test('nothing is kept of a wait that is over', async () => {
  const script = `
    import { openWaits } from '${join(import.meta.dirname, '../../src/node/waits.ts')}';
    const waits = openWaits();
    const heap = () => { gc(); return process.memoryUsage().heapUsed; };
    for (let n = 0; n < 1_000; n++) await waits.until(Promise.resolve());
    const before = heap();
    for (let n = 0; n < 50_000; n++) await waits.until(Promise.resolve());
    process.stdout.write(String(heap() - before));
    waits.giveUp();`;
  const { stdout } = await must(process.execPath, ['--expose-gc', '--input-type=module', '-e', script]);
  // With a promise that is raced against: 312 bytes each, 15 MB.
  assert.ok(Number(stdout) < 1_000_000, `${stdout} bytes are kept`);
});
