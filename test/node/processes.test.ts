import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test } from 'node:test';
import { bootTimeUs, deviceText, rootIndex } from '../../src/node/processes.ts';

const skip = process.platform !== 'linux' && 'needs Linux';

test('device numbers read as in mount tables', () => {
  assert.equal(deviceText(0n), '0:0');
  assert.equal(deviceText(45n), '0:45');
  assert.equal(deviceText(0xfe01n), '254:1');
  // Minor numbers above 255 continue at bit 20.
  assert.equal(deviceText(0x10_002cn), '0:300');
});

test('finds this process by the filesystem of its root', { skip }, async () => {
  const device = deviceText(statSync('/', { bigint: true }).dev);
  assert.ok((await rootIndex().processesOn(device)).includes(process.pid));
  assert.deepEqual(await rootIndex().processesOn('0:4000000'), []);
});

test('the machine was started before this process', { skip }, () => {
  assert.ok(bootTimeUs() > 0 && bootTimeUs() < Date.now() * 1000);
});
