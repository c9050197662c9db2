/** The ways around that lead over a volume: a folder of the node's disk that is mounted at /data. */

import { chmod, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ran, shRan } from './attempts.ts';
import type { Bypass } from './cases.ts';

const dropped = '/data/busybox-x';
const asData = `cat /bin/busybox > ${dropped}`;

export const volumeWays: readonly Bypass[] = [
  {
    way: 'a program is copied to a volume',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'creating it is refused',
    attempt: (c) => shRan(c, `cp /bin/busybox ${dropped}; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'a program is copied to /dev/shm',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'creating it is refused',
    attempt: (c) => shRan(c, 'cp /bin/busybox /dev/shm/busybox-x; /dev/shm/busybox-x echo ran'),
    path: '/dev/shm/busybox-x',
  },
  {
    way: 'a program is copied to a filesystem in memory that the container mounts in a new user and mount namespace',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer:
      'creating it is refused; a new mount is watched a few milliseconds after it was made, and within them it is not gated. The seccomp profile `RuntimeDefault` refuses such a namespace to containers without CAP_SYS_ADMIN',
    before: (c) => c.sh('mkdir /mnt'),
    attempt: (c) =>
      ran(
        c,
        ...['/bin/busybox', 'unshare', '-Urm', '/bin/sh', '-c'],
        'mount -t tmpfs tmpfs /mnt; sleep 0.3; cp /bin/busybox /mnt/busybox-x; /mnt/busybox-x echo ran',
      ),
    path: '/mnt/busybox-x',
  },
  {
    way: 'a file is written to a volume as data and made executable by chmod',
    rule: 'drift',
    outcome: 'reverted',
    succeeds: false,
    answer: 'the execute bits are taken back; an exec waits until that has been done',
    attempt: (c) => shRan(c, `${asData}; chmod 755 ${dropped}; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'a program on a volume gets another name by a hard link',
    rule: 'drift',
    outcome: 'contained',
    succeeds: false,
    answer: 'it is not executed under that name; under its own it is',
    before: (c) => c.sh('cp /bin/busybox /data/busybox-old'),
    attempt: (c) => shRan(c, `ln /data/busybox-old ${dropped}; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'a program on a volume gets another name by rename, and its folder too',
    rule: 'drift',
    outcome: 'contained',
    succeeds: false,
    answer:
      'it is not executed any more, wherever it is; the rename may be told and judged under the new name of the folder, so a rule should speak of the whole volume',
    before: (c) => c.sh('mkdir /data/one; cp /bin/busybox /data/one/busybox-old'),
    attempt: (c) =>
      shRan(
        c,
        'mv /data/one/busybox-old /data/one/busybox-x; mv /data/one /data/two; /data/two/busybox-x echo ran',
      ),
    path: '/data/',
  },
  {
    way: 'a program that was on a volume before is executed',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'a volume is of no image, and nothing is known of how it came there: block `exec` below the volume',
    before: (c) => c.sh(`cp /bin/busybox ${dropped}`),
    attempt: (c) => ran(c, dropped, 'echo', 'ran'),
    path: dropped,
  },
  {
    way: 'a file that was on a volume before, also a program, is changed by truncate(2), without an open',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'as of a file that the container has made on its root filesystem: seeing it would take watching every write; block `exec` below the volume',
    before: (c) => c.sh(`cp /bin/busybox ${dropped}`),
    attempt: (c) => shRan(c, `/bin/opener truncate ${dropped} 9000000; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'a container without such a rule, or the host, puts a program on a shared volume',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer: 'only what a container does itself is judged by its rules: block `exec` below the volume',
    attempt: async (c, _, volume) => {
      await copyFile('/bin/busybox', join(volume, 'busybox-x'));
      await chmod(join(volume, 'busybox-x'), 0o755);
      return await ran(c, dropped, 'echo', 'ran');
    },
    path: dropped,
  },
  {
    way: 'a script on a volume is given to an interpreter',
    rule: 'drift',
    optIn: 'block-scripts',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'a volume is of no image, and a script without an execute bit is no program: block `createFile` below the volume',
    attempt: (c) => shRan(c, 'echo echo ran > /data/script; sh /data/script'),
    path: '/data/script',
  },
  {
    way: 'a dynamic program is written to a volume as data, and the loader (ld.so) is called to run it',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'as a script: a volume is of no image, and without an execute bit it is no program: block `createFile` below the volume',
    attempt: (c) => shRan(c, 'cat /usr/bin/dynamic > /data/program; /lib*/ld-* /data/program ran'),
    path: '/data/program',
  },
  {
    way: 'a program that came to be on a volume is executed where the volume is mounted again (with CAP_SYS_ADMIN)',
    rule: 'drift',
    outcome: 'contained',
    succeeds: false,
    answer:
      'it is barred by the file; a new mount is watched a few milliseconds after it was made, and within them it is not gated',
    before: (c) => c.sh('cp /bin/busybox /data/busybox-old; mkdir /mnt'),
    attempt: (c) =>
      shRan(
        c,
        `mv /data/busybox-old ${dropped}; mount -o bind /data /mnt; sleep 0.3; /mnt/busybox-x echo ran`,
      ),
    path: dropped,
  },
];
