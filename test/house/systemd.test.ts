import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './sources.ts';

/** The words of a unit's `ExecStart=`. */
const commandOf = (unit: string): string[] =>
  /^ExecStart=(.*)$/m.exec(readFileSync(join(root, 'systemd', unit), 'utf8'))?.[1]?.split(' ') ?? [];

test('the agent’s unit joins the keeper of the other unit, with flags that it knows', () => {
  const [program, subcommand = '', ...words] = commandOf('d4c-gate.service');
  assert.equal(program, '/usr/local/bin/d4c-gate');
  const { stdout } = spawnSync(process.execPath, [join(root, 'src/main.ts'), subcommand, '--help'], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  const known = new Set(stdout.match(/--[a-z][a-z-]*/g));
  const given = words.filter((word) => word.startsWith('--'));
  assert.ok(given.length >= 3);
  assert.deepEqual(
    given.filter((flag) => !known.has(flag)),
    [],
  );
  assert.equal(words[words.indexOf('--keeper') + 1], 'join');
});

test('the keeper’s unit starts what is built, and listens where the agent looks', () => {
  const [program = '', flag, socket] = commandOf('d4c-gate-keeper.service');
  assert.match(program, /\/node_modules\/d4c-gate\/build\/Release\/d4c-gate-keeper$/);
  assert.equal(flag, '--socket');
  const { stdout } = spawnSync(process.execPath, [join(root, 'src/main.ts'), 'node', '--help'], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.ok(stdout.includes(socket ?? '(none)'), `${socket} is not the agent's default`);
});
