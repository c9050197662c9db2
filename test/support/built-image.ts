/**
 * The image for tests: built once for what is in the source tree, and kept in `node_modules/.cache` until that changes.
 * Takes about two minutes when it has to be built.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { missingPackages } from './packages.ts';
import { run } from './programs.ts';

const root = join(import.meta.dirname, '../..');
// Not in `build`, which node-gyp empties when the addon is built afresh.
const folder = join(root, 'node_modules/.cache/d4c-gate-image');

/** What buildah and debootstrap are called in Debian. */
export const imagePrograms = { buildah: 'buildah', debootstrap: 'debootstrap' };

const mirror = 'http://deb.debian.org/debian/dists/bookworm/Release';

/** Why no image can be built here, or `undefined` when one can. Give it to `skip`. */
export function imageRequirements(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = missingPackages(imagePrograms);
  if (missing.length > 0) return `needs ${missing.join(', ')}`;
  const asked = spawnSync(
    process.execPath,
    ['-e', `fetch('${mirror}', { method: 'HEAD' }).then(({ ok }) => process.exit(ok ? 0 : 1))`],
    { timeout: 15_000, stdio: 'ignore' },
  );
  return asked.status === 0 ? undefined : 'needs deb.debian.org';
}

/** The archive `d4c-gate.tar`, with its bill of materials and digest beside it. */
export async function builtImage(): Promise<string> {
  const archive = join(folder, 'd4c-gate.tar');
  const sources = join(folder, 'sources');
  const wanted = hashOfSources();
  if (existsSync(archive) && existsSync(sources) && readFileSync(sources, 'utf8') === wanted) return archive;
  mkdirSync(folder, { recursive: true });
  await buildImage(archive);
  writeFileSync(sources, wanted);
  return archive;
}

/** So that two builds at once do not both make it. */
export const makeBaseImage = (): Promise<void> => build('--base-only');

/** Builds it in any case. @param name what buildah keeps it under (default: the chart's, as for users) */
export const buildImage = (archive: string, name?: string): Promise<void> =>
  build('--output', archive, ...(name === undefined ? [] : ['--name', name]));

/** Takes it out of buildah's storage. */
export async function removeImage(name: string): Promise<void> {
  await run('buildah', ['--storage-driver', 'vfs', 'rmi', name], { limitMs: 60_000 });
}

async function build(...options: string[]): Promise<void> {
  const args = [join(root, 'image/build.ts'), ...options, '--no-install'];
  const { exitCode, stderr } = await run(process.execPath, args, { cwd: root, limitMs: 900_000 });
  if (exitCode !== 0)
    throw new Error(`the image was not built:\n${stderr.split('\n').slice(-40).join('\n')}`);
}

function hashOfSources(): string {
  const hash = createHash('sha256');
  const files = ['Dockerfile', 'package*.json', 'binding.gyp', 'tsconfig*.json', '{src,image}/**/*.*'];
  for (const file of globSync(files, { cwd: root }).sort()) {
    hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex');
}
