import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { notifyOfChanges } from '../../src/sources/changes.ts';
import { eventually } from '../support/programs.ts';

const newFolder = () => mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
const never = 3_600_000;

test('a burst of changes makes few checks, the last after the last change', async (t) => {
  await using folder = await newFolder();
  let checks = 0;
  let lastCheck = 0;
  const changes = notifyOfChanges(folder.path, never, async () => {
    checks++;
    lastCheck = performance.now();
  });
  t.after(changes.close);
  for (let turn = 0; turn < 30; turn++) await writeFile(join(folder.path, 'a'), String(turn));
  const lastChange = performance.now();
  await eventually('a check after the last change', () => lastCheck > lastChange);
  assert.ok(checks < 10, `${checks} checks`);
});

test('without any notice it checks at every interval, also a path that is not there', async (t) => {
  let checks = 0;
  const changes = notifyOfChanges('/nonexistent/path', 10, async () => void checks++);
  t.after(changes.close);
  await eventually('three checks', () => checks >= 3);
});

test('checks never overlap, and whoever asks meanwhile waits for one that begins after', async (t) => {
  await using folder = await newFolder();
  let running = 0;
  let begun = 0;
  const changes = notifyOfChanges(folder.path, never, async () => {
    assert.equal(running++, 0);
    begun++;
    await setTimeout(20);
    running--;
  });
  t.after(changes.close);
  const first = changes.checkNow();
  const others = [changes.checkNow(), changes.checkNow(), changes.checkNow()];
  await Promise.all([first, ...others]);
  assert.equal(begun, 2);
});

test('after close there is no check', async () => {
  await using folder = await newFolder();
  let checks = 0;
  const changes = notifyOfChanges(folder.path, 5, async () => void checks++);
  changes.close();
  changes.close();
  await changes.checkNow();
  await setTimeout(30);
  assert.equal(checks, 0);
});
