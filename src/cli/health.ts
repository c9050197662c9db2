/** `d4c-gate health`: answers a probe from the file that `d4c-gate node --health-file` keeps. Loads as little as it can. */

import { faultOfHealth } from '../node/healthFile.ts';
import { readSmallFile } from '../node/smallFile.ts';

/** `argv` is `health FILE` and perhaps `--alive`. 0: it is well; 1: the reason is on standard error; 2: misuse. */
export async function run(argv: readonly string[]): Promise<0 | 1 | 2> {
  const [file, ...others] = argv.slice(1).filter((argument) => argument !== '--alive');
  if (file === undefined || others.length > 0 || file.startsWith('--')) {
    process.stderr.write('usage: d4c-gate health FILE [--alive]\n');
    return 2;
  }
  const fault = faultOfHealth(await readSmallFile(file), argv.includes('--alive') ? 'alive' : 'ready');
  if (fault === undefined) return 0;
  process.stderr.write(`${fault}\n`);
  return 1;
}
