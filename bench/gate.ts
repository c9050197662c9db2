/**
 * `npm run bench:gate [-- --output json] [-- --rounds N]`: what a gate costs the processes of a container.
 *
 * Runs the same probe in a fresh runc container with no listener, under d4c-gate with each policy, and under fapolicyd
 * (where it is installed), in turn, round by round, so that what drifts on the machine drifts for all of them.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { containerHost, requirements } from '../test/support/containers.ts';
import type { Daemon } from '../test/support/daemon.ts';
import { must } from '../test/support/programs.ts';
import { startGate } from './d4c-gate.ts';
import { fapolicydMissing, startFapolicyd } from './fapolicyd.ts';

/** What is timed, how often in one run, and in how many microseconds at the most it should be done. */
const operations = {
  open: { title: 'open+close', count: 20_000, path: '/etc/passwd' },
  write: { title: 'open for writing+close', count: 20_000, path: '/var/log/data' },
  exec: { title: 'fork+exec', count: 1_000, path: '/bin/probe' },
} as const;
type OperationName = keyof typeof operations;

const selector = (name: string, operation: string, conditions: string): string =>
  `    - name: ${name}\n      operation: [${operation}]\n${conditions}`;

const section = (name: string, selectors: string, matched: string, actions: string): string =>
  `${name}:\n  selectors:\n${selectors}  responses:\n    - match: [${matched}]\n      actions: [${actions}]\n`;

/** The policies of d4c-gate, each with the operations that are worth timing under it. */
const policies: Record<string, { text: string; operations: OperationName[] }> = {
  'exec-only policy': {
    text: section(
      'process',
      selector('dropped', 'exec', '      processExecutable: [/tmp/**]\n'),
      'dropped',
      'alert, block',
    ),
    operations: ['open', 'exec'],
  },
  'drift policy': {
    text: section(
      'file',
      selector('drift', 'createExecutable, modifyExecutable', ''),
      'drift',
      'alert, block',
    ),
    operations: ['open', 'write', 'exec'],
  },
  'drift policy, exec logged with arguments': {
    text:
      section('file', selector('drift', 'createExecutable, modifyExecutable', ''), 'drift', 'alert, block') +
      section('process', selector('every', 'exec', ''), 'every', 'log'),
    operations: ['exec'],
  },
  'FIM policy': {
    text: section(
      'file',
      selector('configuration', 'createFile, modifyFile', '      targetFilePath: [/etc/**]\n'),
      'configuration',
      'alert, block',
    ),
    operations: ['open', 'write'],
  },
};

interface Row {
  case: string;
  gate: 'none' | 'd4c-gate' | 'fapolicyd';
  medianUs: number;
  p99Us: number;
}

const { values: flags } = parseArgs({
  options: { output: { type: 'string', default: 'text' }, rounds: { type: 'string', default: '5' } },
});
const rounds = Number(flags.rounds);
if (!['text', 'json'].includes(flags.output) || !(rounds >= 1 && rounds <= 100)) {
  process.stderr.write('usage: npm run bench:gate -- [--output text|json] [--rounds 1..100]\n');
  process.exit(2);
}
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const missing = requirements('runc');
if (missing !== undefined) {
  say(`cannot measure: ${missing}`);
  process.exit(2);
}
const withoutFapolicyd = fapolicydMissing();
if (withoutFapolicyd !== undefined) say(`skipped: fapolicyd: ${withoutFapolicyd}`);

const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-bench-'));
const host = await containerHost();
const image = join(host.folder, 'image');
/** All latencies in nanoseconds by operation and gate, of all rounds. */
const samples = new Map<string, number[]>();

type Start = () => Promise<Daemon>;

/**
 * Times operations in a fresh container. d4c-gate is started `before` it, as on a node; fapolicyd `after` it, since it
 * looks for filesystems to watch only when it starts and when its own mount table changes.
 */
async function measure(
  names: readonly OperationName[],
  key: string,
  { before, after }: { before?: Start; after?: Start } = {},
): Promise<void> {
  const undo: (() => Promise<unknown>)[] = [];
  try {
    if (before !== undefined) undo.push((await before()).stop);
    const container = await host.startRunc();
    undo.push(container.remove);
    if (after !== undefined) undo.push((await after()).stop);
    for (const name of names) {
      const { path, count } = operations[name];
      const { exitCode, stdout, stderr } = await container.exec('/bin/probe', name, path, String(count));
      if (exitCode !== 0) throw new Error(`probe ${name} ended with ${exitCode}: ${stderr}`);
      // The first tenth warms the caches.
      const taken = stdout
        .trim()
        .split('\n')
        .map(Number)
        .slice(count / 10);
      samples.set(`${name}/${key}`, [...(samples.get(`${name}/${key}`) ?? []), ...taken]);
    }
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

const every = Object.keys(operations) as OperationName[];

try {
  await must('gcc', ['-O2', '-static', '-o', join(image, 'bin/probe'), join(import.meta.dirname, 'probe.c')]);
  await writeFile(join(image, 'var/log/data'), 'data\n');
  for (let round = 1; round <= rounds; round++) {
    say(`round ${round} of ${rounds}`);
    await measure(every, 'none');
    for (const [title, { text, operations: names }] of Object.entries(policies)) {
      await measure(names, title, { before: () => startGate(folder, text) });
    }
    if (withoutFapolicyd === undefined) {
      await measure(every, 'fapolicyd', { after: () => startFapolicyd(folder) });
    }
  }
} finally {
  await host.close();
  await rm(folder, { recursive: true, force: true });
}

function percentile(sorted: number[], share: number): number {
  return (
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN) / 10) /
    100
  );
}

function row(title: string, gate: Row['gate'], key: string): Row[] {
  const sorted = samples.get(key)?.sort((a, b) => a - b);
  if (sorted === undefined) return [];
  return [{ case: title, gate, medianUs: percentile(sorted, 0.5), p99Us: percentile(sorted, 0.99) }];
}

const rows = Object.entries(policies).flatMap(([policy, { operations: names }]) =>
  names.flatMap((name) => {
    const title = `${operations[name].title}, ${policy}`;
    return [
      ...row(title, 'none', `${name}/none`),
      ...row(title, 'd4c-gate', `${name}/${policy}`),
      ...row(title, 'fapolicyd', `${name}/fapolicyd`),
    ];
  }),
);

if (flags.output === 'json') {
  process.stdout.write(`${JSON.stringify(rows, null, 2)}\n`);
} else {
  for (const each of rows) {
    const none = rows.find((other) => other.case === each.case && other.gate === 'none') ?? each;
    const ratio = (each.medianUs / none.medianUs).toFixed(2);
    process.stdout.write(
      `${each.case.padEnd(56)} ${each.gate.padEnd(10)} ${each.medianUs.toFixed(1).padStart(8)} us  p99 ${each.p99Us.toFixed(1).padStart(8)} us  ${ratio}x\n`,
    );
  }
}
