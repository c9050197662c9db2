/** The base image of the Dockerfile, made from Debian packages: no registry is asked. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Builder, must } from './builder.ts';

/** Where Debian's packages come from. Both may be a snapshot, which makes the base the same for ever. */
export interface Mirrors {
  readonly debian: string;
  readonly security: string;
}

const suite = 'bookworm';

/**
 * Makes the base image with debootstrap (variant minbase) and gives it `name`. Needs root and about 300 MB of the
 * temporary folder meanwhile.
 */
export function makeBaseImage(builder: Builder, name: string, mirrors: Mirrors, epoch: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'd4c-gate-base-'));
  try {
    const rootfs = join(folder, 'rootfs');
    must('debootstrap', ['--variant=minbase', suite, rootfs, mirrors.debian], { limitMs: 900_000 });
    for (const path of ['var/cache/apt/archives', 'var/lib/apt/lists', 'usr/share/man', 'usr/share/locale']) {
      rmSync(join(rootfs, path), { recursive: true, force: true });
    }
    writeFileSync(
      join(rootfs, 'etc/apt/sources.list'),
      [
        `deb ${mirrors.debian} ${suite} main`,
        `deb ${mirrors.debian} ${suite}-updates main`,
        `deb ${mirrors.security} ${suite}-security main`,
        '',
      ].join('\n'),
    );
    writeFileSync(
      join(rootfs, 'etc/apt/apt.conf.d/90-no-lists'),
      'Acquire::Check-Valid-Until "false";\nAcquire::Retries "3";\nAPT::Install-Recommends "false";\n',
    );
    // Made by buildah on this machine; inside of a container they would name a network that is not there.
    for (const path of ['etc/hostname', 'etc/resolv.conf']) rmSync(join(rootfs, path), { force: true });
    writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY rootfs /\nCMD ["bash"]\n');
    builder.build({ folder, name, epoch, arguments: {}, secrets: {} });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
