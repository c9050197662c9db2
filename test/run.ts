/**
 * `npm test`: installs what the tests need, then lint, types, and every test. Tests that watch the machine's mount
 * table (test/bypass, test/chaos, test/native, test/node) run one file at a time, since each of their gates sees the containers of the others.
 * Each file of test/cluster starts a control plane of its own and is one of several that run at a time where there are processors for it:
 * two for each.
 *
 * `npm test -- [--no-install] [FILE...]` runs only the files given. The tests of the image build it twice and need
 * buildah and debootstrap, those of a real node start one, so they run only when they are named: `npm run test:image`,
 * `npm run test:e2e`.
 */

import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { imagePrograms } from './support/built-image.ts';
import { installPackages } from './support/packages.ts';

const root = join(import.meta.dirname, '..');
const argv = process.argv.slice(2);
const chosen = argv.filter((argument) => !argument.startsWith('--')).map((file) => relative(root, file));

const serialFolders = /^test\/(bypass|chaos|native|node|image|e2e)\//;
const clusterFolder = /^test\/cluster\//;

function step(title: string, program: string, args: string[]): boolean {
  process.stdout.write(`\n== ${title}\n`);
  const started = performance.now();
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  process.stdout.write(
    `== ${title}: ${status === 0 ? 'passed' : 'FAILED'} in ${Math.round((performance.now() - started) / 1000)} s\n`,
  );
  return status === 0;
}

function testFiles(title: string, files: string[], options: string[]): boolean {
  if (files.length === 0) return true;
  return step(title, process.execPath, ['--test', '--test-reporter=spec', ...options, ...files]);
}

const say = (line: string) => process.stdout.write(`${line}\n`);
installPackages(argv, say);
const needsImage = (file: string) => /^test\/(image|e2e)\//.test(file);
if (chosen.some(needsImage)) installPackages(argv, say, imagePrograms);

const all = globSync('test/**/*.test.ts', { cwd: root }).sort();
const files = chosen.length > 0 ? chosen : all.filter((file) => !needsImage(file));
const results = [
  step('addon', process.execPath, ['src/native/build.mjs']),
  step('lint', 'biome', ['check', '--error-on-warnings', '.']),
  step('types', 'tsc', ['-p', 'tsconfig.json']),
  testFiles(
    'tests',
    files.filter((file) => !serialFolders.test(file) && !clusterFolder.test(file)),
    ['--test-timeout=300000'],
  ),
  testFiles(
    'tests on real API servers',
    files.filter((file) => clusterFolder.test(file)),
    [`--test-concurrency=${Math.max(1, Math.floor(availableParallelism() / 2))}`, '--test-timeout=1500000'],
  ),
  testFiles(
    'tests on the kernel, one file at a time',
    files.filter((file) => serialFolders.test(file)),
    ['--test-concurrency=1', '--test-timeout=1500000'],
  ),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
