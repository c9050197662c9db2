/**
 * `npm test`: installs what the tests need, then lint, types, and every test. Tests that watch the machine's mount
 * table (test/bypass, test/chaos, test/native, test/node) run one file at a time, since each of their gates sees the containers of the others.
 * Files that measure time have a processor for themselves; others use all there are.
 * Each file of test/cluster has a control plane of its own, started while the file before it runs, and is one of several that run at a time
 * where there are processors for it: two for each.
 *
 * `npm test -- [--no-install] [FILE...]` runs only the files given. The tests of the image build it twice and need
 * buildah and debootstrap, those of a real node start one, so they run only when they are named: `npm run test:image`,
 * `npm run test:e2e`.
 */

import { spawn } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { imagePrograms } from './support/built-image.ts';
import { clusterRequirements } from './support/cluster.ts';
import { openPool } from './support/controlPlane.ts';
import { installPackages } from './support/packages.ts';

const root = join(import.meta.dirname, '..');
const argv = process.argv.slice(2);
const chosen = argv.filter((argument) => !argument.startsWith('--')).map((file) => relative(root, file));

const serialFolders = /^test\/(bypass|chaos|native|node|image|e2e)\//;
const clusterFolder = /^test\/cluster\//;

/** Whether a neighbour that computes could make it fail. */
const measuresTime = (file: string) =>
  /performance\.now|growth\.ts|strictClient\.ts/.test(readFileSync(join(root, file), 'utf8'));

async function step(
  title: string,
  program: string,
  args: string[],
  more: Readonly<Record<string, string>> = {},
): Promise<boolean> {
  process.stdout.write(`\n== ${title}\n`);
  const started = performance.now();
  const child = spawn(program, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...more } });
  const status = await new Promise((resolve) => child.once('error', resolve).once('exit', resolve));
  process.stdout.write(
    `== ${title}: ${status === 0 ? 'passed' : 'FAILED'} in ${Math.round((performance.now() - started) / 1000)} s\n`,
  );
  return status === 0;
}

async function testFiles(
  title: string,
  files: string[],
  options: string[],
  environment?: Readonly<Record<string, string>>,
): Promise<boolean> {
  if (files.length === 0) return true;
  return step(title, process.execPath, ['--test', '--test-reporter=spec', ...options, ...files], environment);
}

/** While one file uses a control plane, the next one is started. */
async function clusterFiles(files: string[]): Promise<boolean> {
  const atOnce = Math.max(1, Math.floor(availableParallelism() / 2));
  const isOurs = (process.env.KUBECONFIG ?? '') === '' && clusterRequirements() === undefined;
  const pool = isOurs && files.length > 1 ? await openPool(files.length) : undefined;
  const options = [`--test-concurrency=${atOnce}`, '--test-timeout=1500000'];
  try {
    return await testFiles('tests on real API servers', files, options, pool?.environment);
  } finally {
    await pool?.close();
  }
}

const say = (line: string) => process.stdout.write(`${line}\n`);
installPackages(argv, say);
const needsImage = (file: string) => /^test\/(image|e2e)\//.test(file);
if (chosen.some(needsImage)) installPackages(argv, say, imagePrograms);

const all = globSync('test/**/*.test.ts', { cwd: root }).sort();
const files = chosen.length > 0 ? chosen : all.filter((file) => !needsImage(file));
const others = files.filter((file) => !serialFolders.test(file) && !clusterFolder.test(file));
const results = [
  await step('addon', process.execPath, ['src/native/build.mjs']),
  await step('lint', 'biome', ['check', '--error-on-warnings', '.']),
  await step('types', 'tsc', ['-p', 'tsconfig.json']),
  await testFiles(
    'tests',
    others.filter((file) => !measuresTime(file)),
    [`--test-concurrency=${availableParallelism()}`, '--test-timeout=300000'],
  ),
  await testFiles('tests that measure time', others.filter(measuresTime), [
    `--test-concurrency=${Math.max(1, availableParallelism() - 1)}`,
    '--test-timeout=300000',
  ]),
  await clusterFiles(files.filter((file) => clusterFolder.test(file))),
  await testFiles(
    'tests on the kernel, one file at a time',
    files.filter((file) => serialFolders.test(file)),
    ['--test-concurrency=1', '--test-timeout=1500000'],
  ),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
