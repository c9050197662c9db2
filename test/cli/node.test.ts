import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { eventually, run } from '../support/programs.ts';

const main = join(import.meta.dirname, '../../src/main.ts');
const good = `
process:
  selectors: [{ name: all, operation: [exec] }]
  responses: [{ match: [all], actions: [log] }]
`;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'd4c-gate-cli-node-'));
  await chmod(folder, 0o755);
  await writeFile(join(folder, 'good.yaml'), good);
});
after(() => rm(folder, { recursive: true }));

const node = (...args: string[]) => run(process.execPath, [main, 'node', ...args]);

const misuse: readonly { args: () => string[]; says: RegExp }[] = [
  { args: () => [], says: /--policies.*(USAGE)/ },
  { args: () => ['--policies', folder], says: /--output/ },
  { args: () => ['--policies', folder, '--output', 'file'], says: /`stdout` or `ndjson:DIR` \(USAGE\)/ },
  { args: () => ['--policies', folder, '--output', 'stdout', '--mode', 'block'], says: /observe, enforce/ },
  {
    args: () => ['--policies', folder, '--output', 'stdout', '--hold-ms', '0'],
    says: /1 to 60000 \(USAGE\)/,
  },
  {
    args: () => ['--policies', folder, '--output', 'stdout', '--silence-ms', '499'],
    says: /500 to 60000 \(USAGE\)/,
  },
  {
    args: () => ['--policies', folder, '--output', 'stdout', '--deadline-ms', '4294967296'],
    says: /0 to 60000 \(USAGE\)/,
  },
  { args: () => ['--policies', folder, '--output', 'stdout', '--on-unknown', 'x'], says: /allow, deny/ },
  {
    args: () => ['--policies', folder, '--output', 'stdout', '--namespace', 'Shop/eu'],
    says: /`--namespace Shop\/eu` must be .*\(USAGE\)/,
  },
  { args: () => ['--policies', join(folder, 'none'), '--output', 'stdout'], says: /\(FILE_UNREADABLE\)/ },
  {
    args: () => ['--policies', folder, '--output', `ndjson:${join(folder, 'good.yaml')}`],
    says: /\(OUTPUT_UNUSABLE\)/,
  },
];

for (const { args, says } of misuse) {
  test(`refuses a command line with ${says}`, async () => {
    const { exitCode, stdout, stderr } = await node(...args());
    assert.equal(exitCode, 2);
    assert.equal(stdout, '');
    assert.match(stderr, says);
  });
}

test('refuses to start with a faulty policy, and says where the fault is', async () => {
  const bad = await mkdtemp(join(folder, 'bad-'));
  await writeFile(join(bad, 'bad.yaml'), good.replace('[all]', '[none]'));
  const { exitCode, stderr } = await node('--policies', bad, '--output', 'stdout');
  assert.equal(exitCode, 2);
  assert.match(stderr, /bad\.yaml:4:\d+: error: .*POLICY_UNKNOWN_SELECTOR/);
  assert.match(stderr, /\(POLICIES_INVALID\)/);
});

const rootOnLinux = process.platform === 'linux' && process.getuid?.() === 0;

// Without capabilities instead of as somebody else, who may not be able to read the folder that this repository is in.
test('says that it needs root, and leaves no keeper that could be in the way of the next', {
  skip: !rootOnLinux && 'needs root on Linux, to give up its capabilities',
}, async () => {
  const without = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, main, 'node'];
  const socket = join(folder, 'keeper.sock');
  const flags = ['--policies', folder, '--output', 'stdout', '--keeper-socket', socket];
  const { exitCode, stderr } = await run('setpriv', [...without, ...flags]);
  assert.equal(exitCode, 2);
  assert.match(stderr, /root.*\(GATE_NOT_PERMITTED\)/);
  const keeper = (await readFile(`${socket}.lock`, 'utf8')).trim();
  assert.match(keeper, /^[0-9]+$/);
  await eventually('the keeper has ended', () => !existsSync(socket) && !existsSync(`/proc/${keeper}`));
});

test('says that it needs Linux', { skip: process.platform === 'linux' && 'this is Linux' }, async () => {
  const { exitCode, stderr } = await node('--policies', folder, '--output', 'stdout');
  assert.equal(exitCode, 2);
  assert.match(stderr, /GATE_UNSUPPORTED/);
});
