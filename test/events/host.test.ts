import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

test('reads the name of the system however it is quoted', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'host-'));
  t.after(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/os-release'), 'NAME=\'Some Linux\'\nPRETTY_NAME="Some Linux 1"\nID=some\n');
  const { name, full, platform } = readHost(root).os;
  assert.deepEqual([name, full, platform], ['Some Linux', 'Some Linux 1', 'some']);
});
