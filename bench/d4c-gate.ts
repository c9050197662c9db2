/** d4c-gate's own agent as a child process, with one policy. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Daemon, startDaemon } from '../test/support/daemon.ts';

export async function startGate(folder: string, policy: string): Promise<Daemon> {
  const policies = join(folder, 'policies');
  await mkdir(policies, { recursive: true });
  await writeFile(join(policies, 'bench.yaml'), policy);
  const main = join(import.meta.dirname, '..', 'src/main.ts');
  const output = `ndjson:${join(folder, 'documents')}`;
  return startDaemon(
    process.execPath,
    [main, 'node', '--policies', policies, '--output', output, '--keeper', 'off'],
    /gate open/,
  );
}
