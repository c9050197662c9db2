#!/usr/bin/env -S node --max-semi-space-size=16
/**
 * From the command line to a subcommand's exit code. The only place that ends the process.
 *
 * The flag of the first line keeps V8's space for new objects at 48 MB. Else it grows to some 130 while ten thousand
 * policies are read, and is never given back; with half of it, much of what a request needs is taken for old.
 */

import { setFlagsFromString } from 'node:v8';

const argv = process.argv.slice(2);

// V8 lets old objects grow to three times as many before it looks for what is no longer used, which among ten thousand
// policies is 100 MB of garbage; here, to twice. Each look holds requests up, by 5 to 20 milliseconds: with 25 per cent
// there were 8 a second under full load, a quarter of all work. For an agent nobody waits: a quarter of garbage, no more
// than the first 2 MB for new objects, pages that are half empty put together, a look once it has come to rest (which Node
// else never takes), and where there is Maglev, not the other optimizing compiler: together 20 MiB less. Without machine code
// of the compiler that does not optimize it is another 6, for 5 per cent more processor time.
const hasMaglev = Number.parseInt(process.versions.node, 10) >= 24;
const agentFlags = [
  '--heap-growing-percent=25',
  '--semi-space-growth-factor=1',
  '--optimize-for-size',
  '--no-sparkplug',
  ...(hasMaglev ? ['--no-opt'] : []),
];
const memoryFlags = argv[0] === 'node' ? agentFlags : ['--heap-growing-percent=100'];
for (const flag of memoryFlags) setFlagsFromString(flag);

// Probes come every few seconds, and all other subcommands together take ten times as long to load.
const { run } = argv[0] === 'health' ? await import('./cli/health.ts') : await import('./cli/program.ts');

const exitCode = await run(argv);
// `exit` drops what a pipe has not taken, which is all beyond 64 KiB. Probes print nothing there, and what gates or serves has done with
// its output by itself, which may hang.
if (!['node', 'serve', 'health'].includes(argv[0] ?? '')) {
  await new Promise<void>((resolve) =>
    process.stdout.on('error', () => resolve()).write('', () => resolve()),
  );
}
process.exit(exitCode);
