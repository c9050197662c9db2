/** `d4c-gate version`: what is running, for a bug report. */

import { readFileSync } from 'node:fs';
import type { AddCommand } from './program.ts';

/** The version of the package, for example `0.1.0`. */
export const version: string = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
).version;

export const versionCommand: AddCommand = (program) => {
  program
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(
        `d4c-gate ${version} (node ${process.versions.node}, ${process.platform}/${process.arch})\n`,
      );
    });
};
