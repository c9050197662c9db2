/**
 * `npm run test:sanitized`: builds the keeper with AddressSanitizer and UndefinedBehaviorSanitizer beside the usual one, runs
 * tests of what is native with it, and fails when a sanitizer has anything to report. `--build` only builds.
 *
 * The usual build compiles several files at once (src/native/units). This one compiles each by itself, and finds what it
 * does not include.
 *
 * usage: npm run test:sanitized [-- --build | FILE...]
 */

import { spawn, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'build', 'sanitized');
const program = join(folder, 'd4c-gate-keeper');
const tests = [
  'test/native/lifetimes.test.ts',
  'test/native/returning.test.ts',
  'test/native/gate.test.ts',
  'test/native/changes.test.ts',
  'test/native/volumeChanges.test.ts',
  'test/native/numbers.test.ts',
  'test/native/secondQuestion.test.ts',
  'test/chaos/deadline.test.ts',
  'test/chaos/held.test.ts',
  'test/node/telemetry.test.ts',
];
/** Tests that do not fit the sanitizers, and why. */
const unfit = [
  { name: 'keeps no opener waiting for 10 ms', because: 'everything takes some times as long' },
  { name: 'a task outside of the gate’s pid namespace', because: 'they look for their own threads in /proc' },
];
const flags = [
  ...['-std=c++17', '-O0', '-g1', '-fno-exceptions', '-fno-omit-frame-pointer', '-pthread'],
  ...['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
];

interface Target {
  readonly target_name: string;
  readonly sources: readonly string[];
}

function runCompiler(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const compiler = spawn('g++', [...flags, ...args], { cwd: root, stdio: 'inherit' });
    compiler.once('error', reject);
    compiler.once('exit', (exitCode) =>
      exitCode === 0 ? resolve() : reject(new Error(`g++ ended with ${exitCode}`)),
    );
  });
}

const changedAt = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Compiles what is older than its source or than any header, as many files at a time as there are processors. */
async function build(): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const { targets }: { targets: Target[] } = JSON.parse(readFileSync(join(root, 'binding.gyp'), 'utf8'));
  const units = targets.find(({ target_name: name }) => name === 'd4c-gate-keeper')?.sources ?? [];
  const sources = units.flatMap((unit) =>
    [...readFileSync(join(root, unit), 'utf8').matchAll(/"\.\.\/(.+)"/g)].map(
      ([, name]) => `src/native/${name}`,
    ),
  );
  const headers = globSync('src/native/*.h', { cwd: root });
  const common = [import.meta.filename, ...headers.map((header) => join(root, header))];
  const oldest = Math.max(...common.map(changedAt));

  const objectOf = (source: string): string => join(folder, `${basename(source, '.cc')}.o`);
  const waiting = sources.filter(
    (source) => changedAt(objectOf(source)) < Math.max(oldest, changedAt(join(root, source))),
  );
  const isBuilt =
    waiting.length === 0 &&
    changedAt(program) > Math.max(...units.map((unit) => changedAt(join(root, unit))));
  const work = async (): Promise<void> => {
    for (let source = waiting.pop(); source !== undefined; source = waiting.pop()) {
      await runCompiler(['-c', source, '-o', objectOf(source)]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  // Beside a shared AddressSanitizer the other sanitizer does not write where it is told to, but to standard error.
  const runtimes = ['-static-libasan', '-static-libubsan'];
  if (!isBuilt) await runCompiler([...sources.map(objectOf), ...runtimes, '-o', program]);
}

/** Whether the tests pass, and every keeper that they started had nothing to report. */
function runTests(files: readonly string[]): boolean {
  for (const report of globSync('report.*', { cwd: folder })) rmSync(join(folder, report));
  for (const { name, because } of unfit) {
    process.stdout.write(`not with sanitizers: tests with the name \`${name}\`, since ${because}\n`);
  }
  const skips = unfit.map(({ name }) => `--test-skip-pattern=${name}`);
  const options = ['--test', '--test-concurrency=1', ...skips];
  const { status } = spawnSync(process.execPath, [...options, ...files], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      D4C_GATE_KEEPER_PROGRAM: program,
      ASAN_OPTIONS: `log_path=${join(folder, 'report')}:detect_leaks=1`,
      UBSAN_OPTIONS: `log_path=${join(folder, 'report')}:print_stacktrace=1`,
    },
  });
  const reports = globSync('report.*', { cwd: folder });
  for (const report of reports) process.stdout.write(readFileSync(join(folder, report), 'utf8'));
  process.stdout.write(`${reports.length} reports of sanitizers\n`);
  return status === 0 && reports.length === 0;
}

const started = performance.now();
const say = (what: string): boolean =>
  process.stdout.write(`${what} after ${Math.round((performance.now() - started) / 1000)} s\n`);
await build();
say('built');
const chosen = process.argv.slice(2);
if (!chosen.includes('--build')) {
  process.exitCode = runTests(chosen.length > 0 ? chosen : tests) ? 0 : 1;
  say('tested');
}
