/** Reading one file out of an OCI archive, as a scanner would. */

import { spawnSync } from 'node:child_process';

interface Descriptor {
  readonly digest: string;
}

/** The content of `path` (without a leading slash) in the last layer that has it. Throws when none does. */
export function readFromArchive(archive: string, path: string): Buffer {
  const index: { manifests: Descriptor[] } = JSON.parse(member(archive, 'index.json').toString());
  const [manifest] = index.manifests.map(({ digest }) => JSON.parse(blob(archive, digest).toString()));
  const layers: Descriptor[] = manifest?.layers ?? [];
  for (const { digest } of layers.toReversed()) {
    const found = tar(['-xzO', path], blob(archive, digest));
    if (found !== undefined) return found;
  }
  throw new Error(`no layer of \`${archive}\` has \`${path}\``);
}

function blob(archive: string, digest: string): Buffer {
  return member(archive, `blobs/${digest.replace(':', '/')}`);
}

function member(archive: string, path: string): Buffer {
  const content = tar(['-xOf', archive, path], undefined);
  if (content === undefined) throw new Error(`\`${archive}\` has no \`${path}\``);
  return content;
}

function tar(args: string[], input: Buffer | undefined): Buffer | undefined {
  const { status, stdout } = spawnSync('tar', args, { input, maxBuffer: 1 << 30 });
  return status === 0 ? stdout : undefined;
}
