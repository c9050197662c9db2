import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openHealth } from '../../src/node/health.ts';
import { faultOfHealth } from '../../src/node/healthFile.ts';
import { run } from '../support/programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

test('a probe reads what the agent says', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-health-'));
  t.after(() => rm(folder, { recursive: true }));
  const file = join(folder, 'health');
  const probe = async (...args: string[]) => {
    const { exitCode, stderr } = await run(process.execPath, [main, 'health', file, ...args]);
    return `${exitCode} ${stderr.trim()}`;
  };
  assert.equal(await probe(), '1 the agent has not said how it is');
  const health = openHealth(file);
  t.after(health.close);
  assert.equal(await probe(), '1 not ready: it starts');
  assert.equal(await probe('--alive'), '0 ');
  health.set({ isReady: true, reason: undefined });
  assert.equal(await probe(), '0 ');
  health.set({ isReady: false, reason: 'nothing is gated on this node: no' });
  assert.equal(await probe(), '1 not ready: nothing is gated on this node: no');
  health.suspend('no keeper answers');
  health.set({ isReady: true, reason: undefined });
  assert.equal(await probe(), '1 not ready: no keeper answers');
  health.suspend(undefined);
  assert.equal(await probe(), '0 ');
  const { uptime } = JSON.parse(await readFile(file, 'utf8'));
  assert.equal(faultOfHealth(await readFile(file, 'utf8'), 'alive', uptime + 59), undefined);
  assert.equal(
    faultOfHealth(await readFile(file, 'utf8'), 'alive', uptime + 61),
    'the agent has said nothing for 61 s',
  );
});

test('a file that is no health is no proof of it', () => {
  for (const text of ['', '{', 'null', '{}', '{"uptime":"1"}', '{"isReady":true}']) {
    assert.equal(faultOfHealth(text, 'ready'), 'the agent has not said how it is', text);
  }
});

test('misuse of the probe is told from sickness', async () => {
  const { exitCode, stderr } = await run(process.execPath, [main, 'health']);
  assert.deepEqual([exitCode, stderr], [2, 'usage: d4c-gate health FILE [--alive]\n']);
});
