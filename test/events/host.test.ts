import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readHost } from '../../src/events/host.ts';

test('reads this machine', { skip: process.platform !== 'linux' && 'needs Linux' }, () => {
  const host = readHost();
  assert.match(host.bootId ?? '', /^[0-9a-f-]{36}$/);
  assert.match(host.pidNamespaceInode ?? '', /^\d+$/);
  assert.ok(host.name.length > 0);
  assert.ok(!host.ips.includes('127.0.0.1'));
  for (const mac of host.macs) assert.match(mac, /^([0-9A-F]{2}-){5}[0-9A-F]{2}$/);
});
