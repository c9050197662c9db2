/** The ways around that take CAP_SYS_ADMIN: mounts, and what the kernel does for whoever has it. */

import type { Container } from '../support/containers.ts';
import { changes, shRan } from './attempts.ts';
import type { Bypass } from './cases.ts';

const makesOwn = (container: Container) => container.sh('mkdir /mnt; echo text > /etc/own');
/** More than the gate watches of one namespace. */
const tooMany = 520;

export const mountWays: readonly Bypass[] = [
  {
    way: 'a program makes user and mount namespaces of its own, and executes a static program from a filesystem in memory that it mounts there, before anything else is executed in them',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'nothing tells of the namespace: it is watched from the first program on that is executed in it from the root filesystem or a volume, and as long as that runs. `RuntimeDefault` refuses it to containers without CAP_SYS_ADMIN',
    before: (c) => c.sh('mkdir /mnt'),
    attempt: (c) => shRan(c, '/bin/attacker apart /mnt'),
    path: '/mnt/busybox-x',
  },
  {
    way: 'a static program is executed from a filesystem in memory that is mounted nowhere (fsmount)',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'it is in no mount table, and has no event, as a program without a file: `--memfd-noexec` does not refuse it, `RuntimeDefault` does to containers without CAP_SYS_ADMIN',
    attempt: (c) => shRan(c, '/bin/attacker detached'),
    path: '/busybox-x',
  },
  {
    way: 'a program is copied to a volume that is one of more than 512 (with CAP_SYS_ADMIN)',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer: 'so many mounts of a namespace are watched; further ones are counted (`volume_unwatched`)',
    before: (c) => c.sh(`mkdir /mnt; /bin/attacker mounts /mnt ${tooMany}`),
    attempt: (c) => shRan(c, 'cp /bin/busybox /mnt/busybox-x; /mnt/busybox-x echo ran'),
    path: '/mnt/busybox-x',
  },
  {
    way: 'a program is made on a filesystem of huge pages',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'creating it is refused',
    before: (c) => c.sh('mkdir /mnt; mount -t hugetlbfs huge /mnt'),
    attempt: async (c) =>
      (await c.exec('/bin/opener', 'open', '/mnt/busybox-x', '755', 'CREAT', 'WRONLY')).stdout === 'ok\n',
    path: '/mnt/busybox-x',
  },
  {
    way: 'a file that may not be changed is changed where its folder is mounted again (with CAP_SYS_ADMIN)',
    rule: 'modify',
    outcome: 'unseen',
    succeeds: true,
    answer: 'as by a hard link: a rule about a path is about that path',
    before: makesOwn,
    attempt: (c) => changes(c, 'mount -o bind /etc /mnt; echo changed > /mnt/own', '/etc/own'),
    path: '/etc/own',
  },
  {
    way: 'a file that may not be changed is opened by fanotify, for a container that watches it (with CAP_SYS_ADMIN)',
    rule: 'modify',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'the descriptors that fanotify gives raise no event, and are for writing where they are asked for so: give no CAP_SYS_ADMIN. The first change of a file of the image is `detected`',
    before: makesOwn,
    attempt: (c) => changes(c, '/bin/attacker watched /etc/own', '/etc/own'),
    path: '/etc/own',
  },
  {
    way: 'fanotify of a container lets whoever opens a folder of a filesystem wait that it has mounted, the keeper too, and a program is made on a volume meanwhile (with CAP_SYS_ADMIN)',
    rule: 'drift',
    outcome: 'reverted',
    succeeds: false,
    answer:
      'the keeper opens folders only to look at the files that are there already, and waits three seconds for that, once a minute for each container: within it changes are told late, and an exec on a volume goes on after 50 ms (`changes_late`). Then the files of its volumes are not looked at (`changes_unseen`): the first execute bit of one that was there before is not told',
    before: (c) => c.sh('mkdir /mnt'),
    attempt: (c) =>
      shRan(
        c,
        '/bin/attacker deaf /mnt > /tmp/deaf & sleep 4; cat /bin/busybox > /data/busybox-x; chmod 755 /data/busybox-x; /data/busybox-x echo ran; kill $!',
      ),
    path: '/data/busybox-x',
  },
  {
    way: 'the loader (ld.so) runs a program that is not of the image, under another name by a mount (with CAP_SYS_ADMIN)',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer: 'loaders are known by their names (`ld-*`, `ld.so*`)',
    before: (c) => c.sh('cp /usr/bin/dynamic /opt-echo; : > /tmp/other'),
    attempt: (c) => shRan(c, 'mount -o bind /lib*/ld-* /tmp/other; /tmp/other /opt-echo ran'),
    path: '/opt-echo',
  },
];
