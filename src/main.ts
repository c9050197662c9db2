#!/usr/bin/env node
/** From the command line to a subcommand's exit code. The only place that ends the process. */

const argv = process.argv.slice(2);
// Probes come every few seconds, and all other subcommands together take ten times as long to load.
const { run } = argv[0] === 'health' ? await import('./cli/health.ts') : await import('./cli/program.ts');

process.exit(await run(argv));
