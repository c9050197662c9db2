/** A host's file tree as runtimes leave it, for tests that read it. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Runs with a folder that holds the files: paths as on a host; content that is no string is written as JSON. */
export async function withHostTree(
  files: Readonly<Record<string, unknown>>,
  run: (hostRoot: string) => Promise<void>,
): Promise<void> {
  const hostRoot = await mkdtemp(join(tmpdir(), 'd4c-gate-host-'));
  try {
    for (const [path, content] of Object.entries(files)) {
      await mkdir(dirname(join(hostRoot, path)), { recursive: true });
      await writeFile(join(hostRoot, path), typeof content === 'string' ? content : JSON.stringify(content));
    }
    await run(hostRoot);
  } finally {
    await rm(hostRoot, { recursive: true });
  }
}
