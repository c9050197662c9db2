/**
 * `npm run bench:gate [-- --output json] [-- --rounds N] [-- --only latency,crowd,reader,stall,memory]`: what a gate costs.
 *
 * - `latency`: the same probe in a fresh runc container with no listener, under d4c-gate with each policy, under a listener that
 *   allows everything and looks at nothing, and under fapolicyd (where it is installed), in turn, round by round, so that what
 *   drifts on the machine drifts for all of them;
 * - `crowd`: 64 openers on 16 containers; `reader`: verdicts per second of one reader; `stall`: the longest wait while
 *   JavaScript stalls; `memory`: of agent and keeper with 100 containers and 10 policies.
 *
 * JSON is a list of rows: `{ case, gate, medianUs, p99Us }` of latencies, and else `{ case, gate, value, unit, goal? }`.
 */

import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { containerHost, requirements } from '../test/support/containers.ts';
import { must } from '../test/support/programs.ts';
import { fapolicydMissing } from './fapolicyd.ts';
import { latencies } from './gate/latency.ts';
import { memory } from './gate/memory.ts';
import { type Row, textOf } from './gate/rows.ts';
import { crowd, oneReader, stalled } from './gate/rush.ts';

const parts = ['latency', 'crowd', 'reader', 'stall', 'memory'];
const { values: flags } = parseArgs({
  options: {
    output: { type: 'string', default: 'text' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: parts.join(',') },
  },
});
const rounds = Number(flags.rounds);
const wanted = flags.only.split(',');
const isRight = ['text', 'json'].includes(flags.output) && wanted.every((part) => parts.includes(part));
if (!isRight || !(rounds >= 1 && rounds <= 100)) {
  const usage = `--output text|json] [--rounds 1..100] [--only ${parts.join(',')}`;
  process.stderr.write(`usage: npm run bench:gate -- [${usage}]\n`);
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
const withFapolicyd = withoutFapolicyd === undefined;

/** The probe once more, with the libraries that it wants. */
async function addDynamic(image: string): Promise<void> {
  const program = join(image, 'bin/dynamic');
  await must('gcc', ['-O2', '-o', program, join(import.meta.dirname, 'probe.c')]);
  const { stdout } = await must('ldd', [program]);
  for (const [library] of stdout.matchAll(/\/\S+/g)) {
    await mkdir(dirname(join(image, library)), { recursive: true });
    await copyFile(library, join(image, library));
  }
}

const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-bench-'));
const host = await containerHost();
const image = join(host.folder, 'image');
const rows: Row[] = [];
try {
  const compile = (name: string, into: string, ...flags: string[]) =>
    must('gcc', ['-O2', '-static', ...flags, '-o', join(into, name), join(import.meta.dirname, `${name}.c`)]);
  await compile('probe', join(image, 'bin'));
  await writeFile(join(image, 'var/log/data'), 'data\n');
  if (wanted.includes('latency')) {
    await addDynamic(image);
    await compile('nothing', join(image, 'bin'), '-nostdlib');
    await compile('listener', folder);
    const timed = latencies(host, folder, withFapolicyd);
    for (let round = 1; round <= rounds; round++) {
      say(`round ${round} of ${rounds}`);
      await timed.round();
    }
    rows.push(...timed.rows());
  }
  const figures: Record<string, () => Promise<Row[]>> = {
    crowd: () => crowd(host, folder, withFapolicyd),
    reader: () => oneReader(host, folder),
    stall: () => stalled(host),
    memory: () => memory(host, folder),
  };
  for (const [part, measure] of Object.entries(figures)) {
    if (!wanted.includes(part)) continue;
    say(part);
    rows.push(...(await measure()));
  }
} finally {
  await host.close();
  await rm(folder, { recursive: true, force: true });
}
process.stdout.write(flags.output === 'json' ? `${JSON.stringify(rows, null, 2)}\n` : textOf(rows));
