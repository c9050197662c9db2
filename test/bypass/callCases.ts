/** The ways around that lead over what the kernel does otherwise than it seems: loaders, io_uring, renames, descriptors. */

import type { Container } from '../support/containers.ts';
import { putDynamic } from '../support/dynamic.ts';
import { changes, ran, says } from './attempts.ts';
import type { Bypass } from './cases.ts';

const appears = async (container: Container, line: string) => {
  await container.sh(line);
  return (await container.exec('/bin/test', '-e', '/etc/new')).exitCode === 0;
};

let loader = '';
const dropDynamic = async (_: Container, root: string) => {
  loader = await putDynamic(root, '/bin/echo', '/opt-echo');
};
/** As a dynamic program whose data are in memory. */
const loadFromMemory = (c: Container) => ran(c, '/bin/attacker', 'loaded', loader, '/usr/bin/dynamic', 'ran');
const openLate = (byWorker: '0' | '1') => (c: Container) =>
  says(c, 'ok', '/bin/attacker', 'late', '/etc/own', '/tmp/fifo', byWorker);
const reported = 'reported; refusing it takes BPF LSM';

export const callWays: readonly Bypass[] = [
  {
    way: 'the loader (ld.so) is called to run a program that is not of the image',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'drift decides on what a loader opens, too',
    before: dropDynamic,
    attempt: (c) => ran(c, loader, '/opt-echo', 'ran'),
    path: '/opt-echo',
  },
  {
    way: 'the same by a second thread, which gets the number of the first one',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'it is known as what the process runs',
    before: dropDynamic,
    attempt: (c) => ran(c, '/bin/opener', 'threaded', loader, '/opt-echo', 'ran'),
    path: '/opt-echo',
  },
  {
    way: 'the same after another program’s exec was made to fail, so that it looks as if the kernel opened the loader for that',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'for whom the kernel opens it is read from what the waiting task does in the kernel',
    before: dropDynamic,
    attempt: (c) => ran(c, '/bin/attacker', 'failing', '/usr/bin/dynamic', loader, '/opt-echo', 'ran'),
    path: '/opt-echo',
  },
  {
    way: 'the loader (ld.so) is called to run a dynamic program that is in memory (memfd)',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'the loader is of the image, and what it reads from memory raises no event. An image of static programs alone needs no loader',
    before: dropDynamic,
    attempt: loadFromMemory,
    path: '/memfd',
  },
  {
    way: 'the same',
    rule: 'drift',
    optIn: 'memfd-noexec',
    outcome: 'unseen',
    succeeds: true,
    answer: 'the loader needs no execute bit',
    before: dropDynamic,
    attempt: loadFromMemory,
    path: '/memfd',
  },
  {
    way: 'the loader (ld.so) is called to run the program that is forbidden',
    rule: 'exec',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'to the kernel it is data that the loader reads, and a copy would do as well: what may not be executed by anybody should not be in the image',
    before: dropDynamic,
    attempt: (c) => ran(c, loader, '/usr/bin/dynamic', 'ran'),
    path: '/usr/bin/dynamic',
  },
  {
    way: 'io_uring opens a file to write by a worker thread, which looks as if it was in the call in which its maker was, an open to read',
    rule: 'modify',
    outcome: 'prevented',
    succeeds: false,
    answer: 'a worker is known by having no program to go on in, and taken as creating and writing',
    before: (c) => c.sh('echo text > /etc/own'),
    attempt: openLate('1'),
    path: '/etc/own',
  },
  {
    way: 'io_uring opens a file to write by the thread itself, on its way out of an open to read that was interrupted',
    rule: 'modify',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'the registers that the kernel shows are those of the call that is over; files that are there can be written to so, none is created, and a program that was changed is refused by drift. The seccomp profile `RuntimeDefault` refuses io_uring (containerd 2.0, Docker 25), `kernel.io_uring_disabled` too',
    before: (c) => c.sh('echo text > /etc/own'),
    attempt: openLate('0'),
    path: '/etc/own',
  },
  {
    way: 'an empty file that may not be changed gets another name for a moment, so that opening it looks like creating it',
    rule: 'modify',
    outcome: 'prevented',
    succeeds: false,
    answer: 'it is older than its open: taken as modified, too',
    before: (c) => c.sh(': > /etc/own'),
    attempt: (c) => says(c, 'ok', '/bin/attacker', 'linked', '/etc/own', '/tmp/other'),
    path: '/etc/own',
  },
  {
    way: 'a file that may not be changed is replaced by a rename',
    rule: 'modify',
    outcome: 'detected',
    succeeds: true,
    answer: reported,
    attempt: (c) => changes(c, 'echo changed > /tmp/new; mv /tmp/new /etc/passwd', '/etc/passwd'),
    path: '/etc/passwd',
  },
  {
    way: 'a file that may not be changed is changed while its folder has another name',
    rule: 'modify',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'as by a hard link; a folder of the image cannot be renamed, but is copied by whoever tries, so this concerns folders that the container has made, and volumes',
    before: (c) => c.sh('mkdir /etc/own; echo text > /etc/own/file'),
    attempt: (c) =>
      changes(
        c,
        'mv /etc/own /tmp/own; echo changed >> /tmp/own/file; mv /tmp/own /etc/own',
        '/etc/own/file',
      ),
    path: '/etc/own/file',
  },
  {
    way: 'a file that may not be changed was opened for writing before the agent came, or is given by somebody outside of the container who has opened it',
    rule: 'modify',
    outcome: 'unseen',
    succeeds: true,
    answer: 'a gate decides opens, not writes',
    before: (c) =>
      c.sh(
        '(exec 3>> /etc/passwd; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo changed >&3; : > /tmp/end) </dev/null >/dev/null 2>&1 &',
      ),
    attempt: (c) => changes(c, ': > /tmp/go; while [ ! -e /tmp/end ]; do sleep 0.05; done', '/etc/passwd'),
    path: '/etc/passwd',
  },
  {
    way: 'a program of the image was mapped to be written before the agent came, is executed as it is, and then changed through the mapping',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer:
      'what somebody can write to is not the same as the image’s (of a file of another user than root that is found out with CAP_LEASE alone)',
    before: (c) => c.sh('/bin/attacker kept /usr/local/bin/hello /tmp/go > /tmp/kept 2>&1 &'),
    attempt: async (c) => {
      await c.sh('mkdir /tmp/go; sleep 0.3');
      return await says(c, 'other', '/bin/cat', '/tmp/kept');
    },
    path: '/usr/local/bin/hello',
  },
  {
    way: 'a file is made by mknod, without an open',
    rule: 'create',
    outcome: 'detected',
    succeeds: true,
    answer: reported,
    attempt: (c) => appears(c, '/bin/opener mknod /etc/new 644'),
    path: '/etc/new',
  },
  {
    way: 'a file is made elsewhere, and brought by a rename or a link',
    rule: 'create',
    outcome: 'detected',
    succeeds: true,
    answer: reported,
    attempt: (c) => appears(c, 'echo text > /tmp/new; mv /tmp/new /etc/new'),
    path: '/etc/new',
  },
];
