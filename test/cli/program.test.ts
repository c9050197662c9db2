import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../house/sources.ts';
import { run } from '../support/programs.ts';

interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

function d4cGate(args: string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, timeout: 20_000 };
    execFile(process.execPath, [join(root, 'src/main.ts'), ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test('help lists every subcommand and ends with 0', async () => {
  const { code, stdout } = await d4cGate(['help']);
  assert.equal(code, 0);
  for (const name of ['check', 'explain', 'serve', 'node', 'status', 'version', 'help'])
    assert.match(stdout, new RegExp(`^ {2}${name}\\b`, 'm'));
});

test('each subcommand explains itself', async () => {
  for (const name of ['check', 'explain', 'serve', 'node', 'status', 'version']) {
    const { code, stdout } = await d4cGate([name, '--help']);
    assert.equal(code, 0, name);
    assert.match(stdout, /Usage: d4c-gate /);
  }
});

test('misuse ends with 2 and says so on standard error', async () => {
  for (const args of [
    [],
    ['frobnicate'],
    ['check'],
    ['check', '--frob', '-'],
    ['serve', '--frob'],
    ['node', '--mode', 'maybe'],
  ]) {
    const { code, stdout, stderr } = await d4cGate(args);
    assert.equal(code, 2, args.join(' '));
    assert.equal(stdout, '', args.join(' '));
    assert.notEqual(stderr, '', args.join(' '));
    assert.doesNotMatch(stderr, /^\s+at /m, 'no stack trace');
  }
});

test('an environment variable without meaning is refused', async () => {
  const { code, stderr } = await d4cGate(['version'], { D4C_GATE_LOG_LEVEL: 'loud' });
  assert.equal(code, 2);
  assert.match(stderr, /D4C_GATE_LOG_LEVEL=loud.*\(USAGE\)/);
});

test('version names the package version', async () => {
  const { code, stdout } = await d4cGate(['version']);
  assert.equal(code, 0);
  assert.match(stdout, /^d4c-gate \d+\.\d+\.\d+ /);
});

test('what is printed comes whole through a pipe, and a reader that goes away changes nothing', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-pipe-'));
  t.after(() => rm(folder, { recursive: true }));
  const unknown = Array.from({ length: 1_000 }, (_, n) => `unknown${n}: 1\n`);
  await writeFile(join(folder, 'p.yaml'), unknown.join(''));
  const { code, stdout } = await d4cGate(['check', '--output', 'json', folder]);
  assert.equal(code, 1);
  assert.ok(stdout.length > 200_000);
  assert.ok(JSON.parse(stdout)[0].faults.length >= 1_000);

  const script = `"$0" "$1" check --output json "$2" | true; exit "\${PIPESTATUS[0]}"`;
  const { exitCode } = await run('bash', ['-c', script, process.execPath, join(root, 'src/main.ts'), folder]);
  assert.equal(exitCode, 1);
});
