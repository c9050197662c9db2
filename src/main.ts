#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * From the command line to a subcommand's exit code. The only place that ends the process.
 *
 * The flag of the first line keeps V8's space for new objects at 24 MB. Else it grows to some 130 while ten thousand
 * policies are read, and is never given back; requests are answered no slower with less.
 */

import { setFlagsFromString } from 'node:v8';

// V8 lets old objects double before it looks for what is no longer used. A quarter costs a second once with ten thousand
// policies, and nothing where requests are answered.
setFlagsFromString('--heap-growing-percent=25');

const argv = process.argv.slice(2);
// Probes come every few seconds, and all other subcommands together take ten times as long to load.
const { run } = argv[0] === 'health' ? await import('./cli/health.ts') : await import('./cli/program.ts');

process.exit(await run(argv));
