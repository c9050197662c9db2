/** The most that a server answers, measured by wrk (Debian: `apt-get install wrk`). */

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must, run } from '../../test/support/programs.ts';
import type { Target } from './load.ts';

export async function hasWrk(): Promise<boolean> {
  return (await run('sh', ['-c', 'command -v wrk'])).exitCode === 0;
}

/** Answers per second over `seconds`. @throws when one is not 200 */
export async function loadWithWrk(folder: string, target: Target, seconds: number): Promise<number> {
  const body = join(folder, 'review.json');
  const script = join(folder, 'review.lua');
  await writeFile(body, target.body);
  await writeFile(
    script,
    `wrk.method = 'POST'
wrk.headers['content-type'] = 'application/json'
wrk.body = io.open('${body}'):read('*a')
function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print('RESULT ' .. summary.requests .. ' ' .. summary.duration .. ' ' .. failed)
end
`,
  );
  const url = `https://127.0.0.1:${target.port}${target.path}`;
  const flags = ['-t1', '-c32', `-d${seconds}s`, '--timeout', '30s', '-s', script, url];
  const { stdout } = await must('wrk', flags, { limitMs: seconds * 1_000 + 60_000 });
  const [, requests = '', microseconds = '', failed = ''] = /RESULT (\d+) (\d+) (\d+)/.exec(stdout) ?? [];
  if (failed !== '0') throw new Error(`wrk: ${stdout}`);
  return Number(requests) / (Number(microseconds) / 1_000_000);
}
