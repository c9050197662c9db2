/** The image that tests run: a busybox root filesystem, as a folder for runc and as an OCI archive for containerd. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, cp, link, mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './programs.ts';

/** The name under which the archive is imported. */
export const testImage = 'registry.example/d4c-gate/box:1.0';

/** Where Debian's and Ubuntu's `busybox-static` put it. */
export const staticBusybox = '/bin/busybox';

const applets = ['sh', 'cat', 'cp', 'mv', 'rm', 'ln', 'ls', 'chmod', 'echo', 'env', 'id', 'mkdir', 'mount']
  .concat(['sleep', 'touch', 'true', 'false', 'tee', 'dd', 'wget', 'vi', 'truncate', 'seq', 'stat', 'head'])
  .concat(['grep', 'ps', 'kill', 'tail', 'wc', 'sync', 'mknod', 'umount', 'setsid', 'test', 'time', 'nc']);

/**
 * Builds the root filesystem in `folder`: `/bin/busybox`, its applets as symlinks in `/bin`, a hard link
 * `/usr/bin/linked`, `/etc/passwd`, and the script `/usr/local/bin/hello`, which prints `hello`.
 */
export async function buildRootFilesystem(folder: string): Promise<void> {
  for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'root', 'var/log', 'usr/bin', 'usr/local/bin']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  await mkdir(join(folder, 'tmp'));
  await chmod(join(folder, 'tmp'), 0o1777);
  await cp(staticBusybox, join(folder, 'bin/busybox'), { dereference: true });
  await chmod(join(folder, 'bin/busybox'), 0o755);
  for (const applet of applets) await symlink('busybox', join(folder, 'bin', applet));
  await link(join(folder, 'bin/busybox'), join(folder, 'usr/bin/linked'));
  await writeFile(
    join(folder, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n',
  );
  await writeFile(join(folder, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
  await writeFile(join(folder, 'usr/local/bin/hello'), '#!/bin/sh\necho hello\n', { mode: 0o755 });
}

const architectures: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };

/** Packs a root filesystem as an OCI image archive of one layer, named `testImage`. No registry is asked. */
export async function packImage(rootfs: string, workFolder: string, archive: string): Promise<void> {
  const blobs = join(workFolder, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const layerFile = join(workFolder, 'layer.tar');
  await must('tar', ['--numeric-owner', '--owner=0', '--group=0', '-C', rootfs, '-cf', layerFile, '.']);
  const layer = await digestOf(layerFile);
  const layerBytes = (await readFile(layerFile)).length;
  await rename(layerFile, join(blobs, layer));

  const config = await writeBlob(blobs, {
    architecture: architectures[process.arch] ?? process.arch,
    os: 'linux',
    config: { Env: ['PATH=/bin:/usr/bin:/usr/local/bin'], Cmd: ['/bin/sh'], Labels: { tier: 'test' } },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
  });
  const manifest = await writeBlob(blobs, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
    layers: [
      {
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest: `sha256:${layer}`,
        size: layerBytes,
      },
    ],
  });
  await writeFile(join(workFolder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  const descriptor = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...manifest,
    annotations: { 'io.containerd.image.name': testImage },
  };
  await writeFile(
    join(workFolder, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }),
  );
  await must('tar', ['-C', workFolder, '-cf', archive, 'oci-layout', 'index.json', 'blobs']);
}

async function writeBlob(blobs: string, content: unknown): Promise<{ digest: string; size: number }> {
  const text = JSON.stringify(content);
  const digest = createHash('sha256').update(text).digest('hex');
  await writeFile(join(blobs, digest), text);
  return { digest: `sha256:${digest}`, size: Buffer.byteLength(text) };
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk);
  return hash.digest('hex');
}
