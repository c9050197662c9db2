/**
 * `npm test`: installs what the tests need, then lint, types, and every test. Tests that watch the machine's mount
 * table (test/bypass, test/chaos, test/native, test/node) run one file at a time, since each of their gates sees the containers of the others.
 * Files that measure time have a processor for themselves; others use all there are.
 * Each file of test/cluster has a control plane of its own, started while files before it run. One for each processor runs at a
 * time, since they wait more than they compute; those that hold up a load have two processors each.
 *
 * `npm test -- [--no-install] [FILE...]` runs only the files given, without lint and types. The tests of the image build it twice and need
 * buildah and debootstrap, those of a real node start one, so they run only when they are named: `npm run test:image`,
 * `npm run test:e2e`. `npm test -- --image` runs those of the image, too, beside the tests that measure no time.
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
const isWhole = chosen.length === 0;
const processors = availableParallelism();

const serialFolders = /^test\/(bypass|chaos|native|node|e2e)\//;
const clusterFolder = /^test\/cluster\//;
const imageFolder = /^test\/image\//;

/** Whether a neighbour that computes could make it fail: it takes the caches, and then a processor's time is longer, too. */
const measuresTime = (file: string) =>
  /performance\.now|threadCpuUsage|strictClient\.ts/.test(readFileSync(join(root, file), 'utf8'));

/** Those on API servers that hold up a load, or whose Leases end after two seconds; the limits of others are generous. */
const loadsCluster = (file: string) => /\/(certificates|lease|mending|replicas)\.test\.ts$/.test(file);

async function step(title: string, [program = '', ...args]: string[]): Promise<boolean> {
  process.stdout.write(`\n== ${title}\n`);
  const started = performance.now();
  const child = spawn(program, args, { cwd: root, stdio: 'inherit' });
  const status = await new Promise((resolve) => child.once('error', resolve).once('exit', resolve));
  process.stdout.write(
    `== ${title}: ${status === 0 ? 'passed' : 'FAILED'} in ${Math.round((performance.now() - started) / 1000)} s\n`,
  );
  return status === 0;
}

/** @param runner what Node is run by, such as `env` with variables */
async function testFiles(
  title: string,
  files: string[],
  options: string[],
  runner: string[] = [],
): Promise<boolean> {
  const node = [process.execPath, '--test', '--test-reporter=spec'];
  return files.length === 0 || step(title, [...runner, ...node, ...options, ...files]);
}

/** While files use control planes, the next one is started. */
async function clusterFiles(title: string, files: string[], atOnce: number): Promise<boolean> {
  const pool = isOurs && files.length > 1 ? await openPool(files.length) : undefined;
  const variables = Object.entries(pool?.environment ?? {}).map(([name, value]) => `${name}=${value}`);
  const options = [`--test-concurrency=${atOnce}`, '--test-timeout=1500000'];
  try {
    return await testFiles(title, files, options, ['env', ...variables]);
  } finally {
    await pool?.close();
  }
}

const say = (line: string) => process.stdout.write(`${line}\n`);
installPackages(argv, say);
const all = globSync('test/**/*.test.ts', { cwd: root }).sort();
const isExtra = (file: string) => /^test\/(image|e2e)\//.test(file);
const withImage = argv.includes('--image');
const files = isWhole
  ? all.filter((file) => !isExtra(file) || (withImage && imageFolder.test(file)))
  : chosen;
if (files.some(isExtra)) installPackages(argv, say, imagePrograms);

const others = files.filter((file) =>
  [serialFolders, clusterFolder, imageFolder].every((folder) => !folder.test(file)),
);
const cluster = files.filter((file) => clusterFolder.test(file));
const isOurs = (process.env.KUBECONFIG ?? '') === '' && clusterRequirements() === undefined;
const half = Math.max(1, Math.floor(processors / 2));

/** Those that a neighbour which computes makes slower, and no more. */
async function patientFiles(): Promise<boolean> {
  const isGood = await testFiles(
    'tests',
    others.filter((file) => !measuresTime(file)),
    [`--test-concurrency=${processors}`, '--test-timeout=300000'],
  );
  const light = cluster.filter((file) => !loadsCluster(file));
  return (await clusterFiles('tests on real API servers', light, isOurs ? processors : half)) && isGood;
}

const results = [
  await step('addon', [process.execPath, 'src/native/build.mjs']),
  !isWhole || (await step('lint', ['biome', 'check', '--error-on-warnings', '.'])),
  !isWhole || (await step('types', ['tsc', '-p', 'tsconfig.json'])),
  ...(await Promise.all([
    patientFiles(),
    // Most of it is work of compilers and package managers, for which no test should have to wait.
    testFiles(
      'tests of the image',
      files.filter((file) => imageFolder.test(file)),
      ['--test-timeout=1500000'],
      ['nice', '-n', '5'],
    ),
  ])),
  await clusterFiles('tests that load API servers', cluster.filter(loadsCluster), half),
  await testFiles('tests that measure time', others.filter(measuresTime), [
    `--test-concurrency=${Math.max(1, processors - 1)}`,
    '--test-timeout=300000',
  ]),
  await testFiles(
    'tests on the kernel, one file at a time',
    files.filter((file) => serialFolders.test(file)),
    ['--test-concurrency=1', '--test-timeout=1500000'],
  ),
];
process.exitCode = results.every(Boolean) ? 0 : 1;
