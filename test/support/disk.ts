/** A filesystem of its own for a container's changes. */

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { ContainerHost } from './containers.ts';
import { eventually, isInstalled, must, run } from './programs.ts';

export interface Disk {
  readonly device: string;
  /** Where it is mounted; the runc container of this ID has its upper directory in it. */
  readonly folder: string;
  mount(): Promise<unknown>;
  unmount(): Promise<unknown>;
}

/** Why there can be none here, or `false`. */
export const diskMissing = ['mkfs.ext4', 'losetup'].every(isInstalled) ? false : 'needs mkfs.ext4, losetup';

/** Makes one of 64 MiB for the container, with ext4, that is not mounted. It ends with the test. */
export async function diskOf(t: TestContext, host: ContainerHost, id: string): Promise<Disk> {
  const [file, folder] = [join(host.folder, `${id}.disk`), join(host.folder, id)];
  await must('truncate', ['--size', '64M', file]);
  await must('mkfs.ext4', ['-q', file]);
  const device = (await must('losetup', ['--find', '--show', file])).stdout.trim();
  t.after(() => must('losetup', ['--detach', device]));
  await mkdir(folder);
  return {
    device,
    folder,
    mount: () => must('mount', [device, folder]),
    unmount: () => eventually('it is unmounted', async () => (await run('umount', [folder])).exitCode === 0),
  };
}
