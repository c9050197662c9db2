/** buildah, which builds images without a daemon and without a registry. */

import { spawnSync } from 'node:child_process';

export interface BuildOptions {
  /** With the Dockerfile in it. */
  readonly folder: string;
  readonly name: string;
  /** Every file and every record of the image gets this time, in seconds since 1970. */
  readonly epoch: number;
  readonly arguments: Readonly<Record<string, string>>;
  /** Files that a build step sees and no layer has. */
  readonly secrets: Readonly<Record<string, string>>;
}

export interface Builder {
  exists(name: string): boolean;
  build(options: BuildOptions): void;
  /** Writes an OCI archive and gives the digest of its manifest. */
  push(name: string, archive: string, digestFile: string): void;
}

/** Runs a program to its end with its output on ours. Throws when it fails or takes longer than the limit. */
export function must(program: string, args: readonly string[], options: { limitMs: number }): void {
  const { status, signal, error } = spawnSync(program, args, {
    stdio: ['ignore', 2, 2],
    timeout: options.limitMs,
    env: { ...process.env, BUILDAH_ISOLATION: 'chroot', DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (error !== undefined) throw new Error(`\`${program}\`: ${error.message}`);
  if (status !== 0) throw new Error(`\`${program} ${args[0] ?? ''}\` ended with ${status ?? signal}`);
}

/**
 * buildah with the storage driver and isolation that work everywhere root is, also inside of a container.
 * `storage` is a folder of its own for images, or undefined for the machine's.
 */
export function buildah(storage: string | undefined): Builder {
  const common = [
    '--storage-driver',
    'vfs',
    ...(storage === undefined ? [] : ['--root', storage, '--runroot', `${storage}-run`]),
  ];
  return {
    exists: (name) =>
      spawnSync('buildah', [...common, 'inspect', '--type', 'image', name], { stdio: 'ignore' }).status === 0,

    build({ folder, name, epoch, ...more }) {
      // What this image was before would stay in the storage without a name.
      spawnSync('buildah', [...common, 'rmi', name], { stdio: 'ignore' });
      const flags = ['--isolation', 'chroot', '--pull=never', '--no-cache', '--force-rm', '--format', 'oci'];
      const args = Object.entries(more.arguments).flatMap(([key, value]) => [
        '--build-arg',
        `${key}=${value}`,
      ]);
      const secrets = Object.entries(more.secrets).flatMap(([id, file]) => [
        '--secret',
        `id=${id},src=${file}`,
      ]);
      const time = ['--timestamp', String(epoch), '--tag', name];
      must('buildah', [...common, 'bud', ...flags, ...args, ...secrets, ...time, folder], {
        limitMs: 1_800_000,
      });
    },

    push(name, archive, digestFile) {
      must(
        'buildah',
        [...common, 'push', '--digestfile', digestFile, name, `oci-archive:${archive}:${name}`],
        {
          limitMs: 600_000,
        },
      );
    },
  };
}
