/** d4c-gate's own agent as a child process. */

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Daemon, startDaemon } from '../test/support/daemon.ts';

const fromSources = [process.execPath, join(import.meta.dirname, '..', 'src/main.ts')];

/** With these policies and no others. `wrapper` is a command to run it with, `program` what to run instead of the sources, `more` further flags. */
export async function startGate(
  folder: string,
  policies: readonly string[],
  wrapper: readonly string[] = [],
  program: readonly string[] = fromSources,
  more: readonly string[] = [],
): Promise<Daemon> {
  const policyFolder = join(folder, 'policies');
  await rm(policyFolder, { recursive: true, force: true });
  await mkdir(policyFolder, { recursive: true });
  for (const [index, text] of policies.entries())
    await writeFile(join(policyFolder, `bench-${index}.yaml`), text);
  const output = `ndjson:${join(folder, 'documents')}`;
  const flags = ['node', '--policies', policyFolder, '--output', output, '--keeper', 'off', ...more];
  const [command = '', ...args] = [...wrapper, ...program, ...flags];
  return startDaemon(command, args, /gate open/);
}
