import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { frameOf } from '../../src/native/frames.ts';
import { connectSocket, keeperProgram } from '../../src/native/keeperProgram.ts';
import { readKeeperStatus } from '../../src/native/keeperStatus.ts';
import { gateRequirements } from '../support/gateHost.ts';
import { eventually } from '../support/programs.ts';

test('a keeper whose log nobody reads does not wait for a reader, however much there is to say', {
  skip: gateRequirements(),
}, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-log-'));
  const socket = join(folder, 'keeper.sock');
  const keeper = spawn(keeperProgram(), ['--socket', socket], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(async () => {
    keeper.kill('SIGKILL');
    await rm(folder, { recursive: true });
  });
  await eventually('it listens', () => existsSync(socket));
  const stream = await connectSocket(socket);
  stream.on('error', () => undefined);
  // What is wrong with a greeting is said with the words of the greeting.
  stream.write(frameOf('H', Buffer.from(`mode=${'x'.repeat(4 << 20)}\0`)));
  await once(stream.resume(), 'close');
  assert.equal((await readKeeperStatus(socket)).pid, keeper.pid);
});
