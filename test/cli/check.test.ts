import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { root } from '../house/sources.ts';

const folder = mkdtempSync(join(tmpdir(), 'd4c-gate-check-'));
after(() => rmSync(folder, { recursive: true }));

interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `d4c-gate check` in the folder. */
function check(args: string[], input: string | Buffer = ''): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'src/main.ts'), 'check', ...args], {
      cwd: folder,
      timeout: 20_000,
    });
    const finished: Finished = { code: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => {
      finished.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      finished.stderr += text;
    });
    // The program may end before it has read all that it is given.
    child.stdin.on('error', () => undefined).end(input);
    child.on('error', reject).on('close', (code) => resolve({ ...finished, code }));
  });
}

const good =
  'file:\n  selectors:\n    - name: a\n      operation: [createExecutable]\n  responses:\n    - match: [a]\n      actions: [alert]\n';
const warned = good.replace('[createExecutable]', '[createExecutable]\n      targetFilePath: [/etc/*.conf]');
const bad = good.replace('[a]', '[b]');

mkdirSync(join(folder, 'policies/below'), { recursive: true });
mkdirSync(join(folder, 'empty'));
mkdirSync(join(folder, 'same'));
const files: Record<string, string> = {
  'good.yaml': good,
  'warned.yml': warned,
  'odd name.yaml': good,
  'policies/b.yaml': bad,
  'policies/a.yml': warned,
  'policies/c.json': '{}',
  'policies/README.md': 'not a policy',
  'policies/.hidden.yaml': bad,
  'policies/below/d.yaml': bad,
  'empty/README.md': 'not a policy',
  'same/web.json': '{"file":1}',
  'same/web.yaml': good,
};
for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);

test('a policy without faults gives nothing but a summary', async () => {
  assert.deepEqual(await check(['good.yaml']), {
    code: 0,
    stdout: '',
    stderr: '1 file, 0 errors, 0 warnings\n',
  });
});

test('warnings alone end with 0', async () => {
  const { code, stdout, stderr } = await check(['warned.yml']);
  assert.equal(code, 0);
  assert.match(stdout, /^warned\.yml:5:24: warning: .* \(POLICY_EXTENSION\)\n$/);
  assert.equal(stderr, '1 file, 0 errors, 1 warning\n');
});

test('errors end with 1, one line each', async () => {
  const { code, stdout } = await check(['policies/b.yaml']);
  assert.equal(code, 1);
  const lines = stdout.split('\n');
  assert.match(lines[0] ?? '', /^policies\/b\.yaml:3:13: warning: .* \(POLICY_SELECTOR_UNUSED\)$/);
  assert.equal(
    lines[1],
    'policies/b.yaml:6:15: error: unknown selector `b` in `file` (POLICY_UNKNOWN_SELECTOR)',
  );
});

test('json has every file with its faults, and exactly the keys of a fault', async () => {
  const { code, stdout, stderr } = await check(
    ['--output', 'json', 'good.yaml', 'policies/b.yaml', '-'],
    'fil: {}',
  );
  assert.equal(code, 1);
  assert.equal(stderr, '');
  const checked = JSON.parse(stdout);
  assert.deepEqual(
    checked.map(({ file }: { file: string }) => file),
    ['good.yaml', 'policies/b.yaml', '<stdin>'],
  );
  assert.deepEqual(checked[0].faults, []);
  assert.deepEqual(checked[1].faults[1], {
    code: 'POLICY_UNKNOWN_SELECTOR',
    severity: 'error',
    message: 'unknown selector `b` in `file`',
    line: 6,
    column: 15,
    path: 'file.responses[0].match[0]',
  });
  assert.deepEqual(checked[2].faults, [
    {
      code: 'POLICY_UNKNOWN_KEY',
      severity: 'error',
      message: 'unknown key `fil`; did you mean `file`?',
      line: 1,
      column: 1,
      path: 'fil',
      suggestion: 'file',
    },
  ]);
});

test('a directory stands for its policy files, sorted, not for those below it', async () => {
  const { code, stdout, stderr } = await check(['policies']);
  assert.equal(code, 1);
  assert.deepEqual(
    [...new Set(stdout.match(/^[^:\n]+/gm))],
    ['policies/a.yml', 'policies/b.yaml', 'policies/c.json'],
  );
  assert.equal(stderr, '3 files, 2 errors, 2 warnings\n');
});

test('two files of a directory that make one policy ID are a fault', async () => {
  const { code, stdout } = await check(['same']);
  assert.equal(code, 1);
  assert.match(stdout, /^same\/web\.yaml:1:1: error: .*`web`.* \(POLICY_ID_DUPLICATE\)$/m);
});

test('a file that is named by itself may have any name', async () => {
  assert.equal((await check(['odd name.yaml'])).code, 0);
});

test('standard input is called <stdin>', async () => {
  const { code, stdout, stderr } = await check(['-'], bad);
  assert.equal(code, 1);
  assert.match(stdout, /^<stdin>:6:15: error: /m);
  assert.equal(stderr, '1 file, 1 error, 1 warning\n');
});

test('what cannot be read ends with 2, after the faults of what can', async () => {
  const { code, stdout, stderr } = await check(['nowhere.yaml', 'policies/b.yaml', 'empty']);
  assert.equal(code, 2);
  assert.match(stdout, /POLICY_UNKNOWN_SELECTOR/);
  assert.match(
    stderr,
    /^1 file, 1 error, 1 warning\nd4c-gate: .*`nowhere\.yaml`.*`empty`.* \(FILE_UNREADABLE\)\n$/,
  );
});

test('text that is no UTF-8 or too long is a fault of the policy', async () => {
  for (const input of [Buffer.from([0x66, 0xff]), Buffer.alloc(2 << 20, 'a')]) {
    const { code, stdout } = await check(['-'], input);
    assert.equal(code, 1);
    assert.match(stdout, /^<stdin>:1:1: error: .* \(POLICY_SYNTAX\)\n$/);
  }
});

test('lenient mode forgives what the editor forgives', async () => {
  const nameless = good.replace(
    '      operation: [createExecutable]\n',
    '      containerImageName: [nginx]\n',
  );
  assert.equal((await check(['-'], nameless)).code, 1);
  assert.equal((await check(['--lenient', '-'], nameless)).code, 0);
});

test('a configured cluster name takes a warning away', async () => {
  const clustered = good.replace(
    '[createExecutable]',
    '[createExecutable]\n      kubernetesClusterName: [east]',
  );
  assert.match((await check(['-'], clustered)).stdout, /POLICY_CLUSTER_NAME_UNSET/);
  assert.equal((await check(['--cluster-name', 'east', '-'], clustered)).stdout, '');
});

test('a fault is one line without colour where nobody watches', async () => {
  const { stdout } = await check(['-'], '"a\\nb\\u001b[31m": 1');
  assert.match(stdout, /^[\x20-\x7e]+\n[\x20-\x7e]+\n$/);
});
