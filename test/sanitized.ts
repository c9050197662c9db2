/**
 * `npm run test:sanitized`: builds the keeper with AddressSanitizer and UndefinedBehaviorSanitizer beside the usual one, runs
 * the native tests with it, and fails when a sanitizer has anything to report.
 *
 * usage: npm run test:sanitized [-- FILE...]
 */

import { spawn, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'build', 'sanitized');
const program = join(folder, 'd4c-gate-keeper');
const tests = ['test/native/lifetimes.test.ts', 'test/native/gate.test.ts', 'test/chaos/deadline.test.ts'];
const flags = [
  ...['-std=c++17', '-O1', '-g', '-fno-exceptions', '-fno-omit-frame-pointer', '-pthread'],
  ...['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
];

interface Target {
  readonly target_name: string;
  readonly sources: readonly string[];
}

function runCompiler(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const compiler = spawn('g++', args, { cwd: root, stdio: 'inherit' });
    compiler.once('error', reject);
    compiler.once('exit', (exitCode) =>
      exitCode === 0 ? resolve() : reject(new Error(`g++ ended with ${exitCode}`)),
    );
  });
}

/** Newer than every source: nothing to do. */
function isBuilt(): boolean {
  const built = statSync(program, { throwIfNoEntry: false });
  if (built === undefined) return false;
  return globSync('src/native/*.{cc,h}', { cwd: root }).every(
    (file) => statSync(join(root, file)).mtimeMs < built.mtimeMs,
  );
}

async function build(): Promise<void> {
  if (isBuilt()) return;
  mkdirSync(folder, { recursive: true });
  const { targets }: { targets: Target[] } = JSON.parse(readFileSync(join(root, 'binding.gyp'), 'utf8'));
  const sources = targets.find(({ target_name: name }) => name === 'd4c-gate-keeper')?.sources ?? [];
  const objectOf = (source: string): string => join(folder, `${basename(source, '.cc')}.o`);
  const waiting = [...sources];
  const work = async (): Promise<void> => {
    for (let source = waiting.pop(); source !== undefined; source = waiting.pop()) {
      await runCompiler([...flags, '-c', source, '-o', objectOf(source)]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  await runCompiler([...flags, ...sources.map(objectOf), '-o', program]);
}

const started = performance.now();
await build();
const seconds = (): number => Math.round((performance.now() - started) / 1000);
process.stdout.write(`built after ${seconds()} s\n`);
for (const report of globSync('report.*', { cwd: folder })) rmSync(join(folder, report));
const chosen = process.argv.slice(2);
const { status } = spawnSync(
  process.execPath,
  ['--test', '--test-concurrency=1', ...(chosen.length > 0 ? chosen : tests)],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      D4C_GATE_KEEPER_PROGRAM: program,
      ASAN_OPTIONS: `log_path=${join(folder, 'report')}:detect_leaks=1`,
      UBSAN_OPTIONS: `log_path=${join(folder, 'report')}:print_stacktrace=1`,
    },
  },
);
const reports = globSync('report.*', { cwd: folder });
for (const report of reports) process.stdout.write(readFileSync(join(folder, report), 'utf8'));
process.stdout.write(`${reports.length} reports of sanitizers after ${seconds()} s\n`);
process.exitCode = status === 0 && reports.length === 0 ? 0 : 1;
