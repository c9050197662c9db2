/**
 * `npm run test:chaos`: the tests of chaos and load at their full sizes, which take minutes: an agent that is killed every
 * 2 seconds for a minute, a storm with 200 containers, a soak of two million events. `npm test` runs the same tests smaller.
 *
 * usage: npm run test:chaos [-- --seconds N --starts N --events N] [FILE...]
 */

import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fullSizes, sizesVariable } from './support/sizes.ts';

const root = join(import.meta.dirname, '..');
const options = {
  seconds: { type: 'string' },
  starts: { type: 'string' },
  events: { type: 'string' },
} as const;
const { values, positionals } = parseArgs({ options, allowPositionals: true });
const given = Object.entries(values).map(([name, value]) => [name, Number(value)] as const);
const wrong = given.find(([, value]) => !(Number.isInteger(value) && value > 0));
if (wrong !== undefined) throw new Error(`--${wrong[0]} wants a whole number above 0`);

const files = positionals.length > 0 ? positionals : globSync('test/chaos/*.test.ts', { cwd: root }).sort();
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...files], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    [sizesVariable]: JSON.stringify({ ...fullSizes, ...Object.fromEntries(given) }),
  },
});
process.exitCode = status ?? 1;
