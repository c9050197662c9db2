/**
 * The known ways around a gate, each as something that is done in a real container, with what becomes of it.
 * `docs/limits.md` is made from this table, and a test holds the two equal.
 */

import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Outcome } from '../../src/events/observation.ts';
import type { Container } from '../support/containers.ts';
import { ran, shRan } from './attempts.ts';
import { callWays } from './callCases.ts';
import { mountWays } from './mountCases.ts';
import { volumeWays } from './volumeCases.ts';

/**
 * `drift`: blocks createExecutable and modifyExecutable everywhere. `exec`: blocks executing /usr/bin/linked and /usr/bin/dynamic.
 * `create`, `modify` and `delete` block those of files below /etc.
 */
export type Rule = 'drift' | 'exec' | 'create' | 'modify' | 'delete';

/** An opt-in of the agent with which the way is tried: its flag. */
export type OptIn = 'block-scripts' | 'memfd-noexec';

export interface Bypass {
  readonly way: string;
  readonly rule: Rule;
  /** Without one, none is given. */
  readonly optIn?: OptIn;
  /** What the first event about it says, or `unseen` when there is none. */
  readonly outcome: Outcome | 'unseen';
  /** Whether the program was executed, or the file changed, in the end. */
  readonly succeeds: boolean;
  /** What answers it, or what a policy or a cluster has to do besides. */
  readonly answer: string;
  /** Done before the gate is there. */
  readonly before?: (container: Container, root: string) => Promise<unknown>;
  /**
   * Whether it succeeded. `root` is the container's root filesystem as the host sees it, and `volume` a folder of the host
   * that is mounted at /data.
   */
  readonly attempt: (container: Container, root: string, volume: string) => Promise<boolean>;
  /** The path of the events that count. */
  readonly path: string;
}

const dropped = '/tmp/busybox-x';

export const bypasses: readonly Bypass[] = [
  {
    way: 'a program is copied under another name than the one that is forbidden',
    rule: 'exec',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'a rule about a path is about that path: block `createExecutable` as well, so that the copy cannot be made',
    attempt: (c) => shRan(c, `cp /usr/bin/linked ${dropped}; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'the forbidden program is called through a symlink or another path to it',
    rule: 'exec',
    outcome: 'prevented',
    succeeds: false,
    answer: 'paths are resolved before they are matched',
    attempt: (c) => shRan(c, `ln -s /usr/bin/linked ${dropped}; ${dropped} echo ran`),
    path: '/usr/bin/linked',
  },
  {
    way: 'the name of the forbidden program is deleted, and it is executed by a descriptor that was opened before',
    rule: 'exec',
    outcome: 'prevented',
    succeeds: false,
    answer: 'it is known by the name that it had',
    attempt: (c) =>
      shRan(
        c,
        `exec 3</usr/bin/linked; rm /usr/bin/linked; ln -s /proc/self/fd/3 ${dropped}; ${dropped} echo ran`,
      ),
    path: '/usr/bin/linked',
  },
  {
    way: 'a program is copied',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'creating it is refused',
    attempt: (c) => shRan(c, `cp /bin/busybox ${dropped}; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'a file is written as data and made executable by chmod',
    rule: 'drift',
    outcome: 'reverted',
    succeeds: false,
    answer: 'the execute bits are taken back; an exec in between is refused by drift',
    attempt: (c) =>
      shRan(c, `cat /bin/busybox > ${dropped}; chmod 755 ${dropped}; sleep 0.1; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'a program of the image gets another name by a hard link',
    rule: 'drift',
    outcome: 'contained',
    succeeds: false,
    answer: 'it is not executed under that name; under its own it is',
    attempt: (c) => shRan(c, `ln /usr/bin/linked ${dropped}; sleep 0.1; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'a program of the image gets another name by rename',
    rule: 'drift',
    outcome: 'contained',
    succeeds: false,
    answer: 'it is not executed under that name',
    attempt: (c) => shRan(c, `mv /usr/bin/linked ${dropped}; sleep 0.1; ${dropped} echo ran`),
    path: dropped,
  },
  {
    way: 'an unnamed file (O_TMPFILE) that is a program is given a name',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'the open of the unnamed file is refused',
    attempt: async (c) => (await c.exec('/bin/opener', 'named', '/tmp', '755', dropped)).stdout === 'ok\n',
    path: '/tmp/#',
  },
  {
    way: 'openat2, whose flags another thread could change',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'taken as creating and writing, also when it only reads',
    attempt: async (c) =>
      (await c.exec('/bin/opener', 'openat2', dropped, '755', 'CREAT', 'WRONLY')).stdout === 'ok\n',
    path: dropped,
  },
  {
    way: 'io_uring, whose opens have no flags to see',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'taken as creating and writing, also when it only reads',
    attempt: async (c) =>
      (await c.exec('/bin/opener', 'uring', dropped, '755', 'CREAT', 'WRONLY')).stdout === 'ok\n',
    path: dropped,
  },
  {
    way: 'a program was brought in before the agent came',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'drift: it is not of the image',
    before: (c) => c.sh(`cp /bin/busybox ${dropped}`),
    attempt: (c) => ran(c, dropped, 'echo', 'ran'),
    path: dropped,
  },
  {
    way: 'a program of the image was opened and mapped to be written before the agent came, and is changed through the mapping',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'drift: its content is compared with the image’s at its exec',
    before: (c) => c.sh('/bin/opener mapped /usr/local/bin/hello /tmp/go > /tmp/mapped 2>&1 &'),
    attempt: async (c) => {
      await c.sh('mkdir /tmp/go; while [ ! -s /tmp/mapped ]; do sleep 0.05; done');
      return (await c.exec('/usr/local/bin/hello')).exitCode === 0;
    },
    path: '/usr/local/bin/hello',
  },
  {
    way: 'somebody on the host copies a program into the container',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'what the host does is not judged; executing it in the container is refused by drift',
    attempt: async (c, root) => {
      await copyFile('/bin/busybox', join(root, dropped));
      return await ran(c, dropped, 'echo', 'ran');
    },
    path: dropped,
  },
  {
    way: 'the folder of a program is renamed',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'the files in it are not reported; executing them is decided by drift, under the new path',
    before: (c) => c.sh('mkdir /tmp/one; cp /bin/busybox /tmp/one/busybox-x'),
    attempt: (c) => shRan(c, 'mv /tmp/one /tmp/two; /tmp/two/busybox-x echo ran'),
    path: '/tmp/two/busybox-x',
  },
  {
    way: 'a new program is mounted over one of the image (with CAP_SYS_ADMIN)',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer: 'drift goes by the file and not by its name',
    before: (c) => c.sh(`cp /bin/busybox ${dropped}`),
    attempt: (c) => shRan(c, `mount -o bind ${dropped} /usr/bin/linked; /usr/bin/linked echo ran`),
    path: '/usr/bin/linked',
  },
  {
    way: 'a script that is not executable is given to an interpreter (`sh script`)',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'it is data to the kernel: block `createFile` where scripts may not appear, or `exec` of interpreters that the workload does not need',
    attempt: (c) => shRan(c, 'echo echo ran > /tmp/script; sh /tmp/script'),
    path: '/tmp/script',
  },
  {
    way: 'the same',
    rule: 'drift',
    optIn: 'block-scripts',
    outcome: 'prevented',
    succeeds: false,
    answer:
      'known interpreters are refused files that are not of the image; what they are given by a pipe (`cat script \\| sh`) or as an argument (`sh -c`) is not seen. On volumes, see below',
    attempt: (c) => shRan(c, 'echo echo ran > /tmp/script; sh /tmp/script'),
    path: '/tmp/script',
  },
  {
    way: 'a dynamic program is executed from memory (memfd)',
    rule: 'drift',
    outcome: 'prevented',
    succeeds: false,
    answer:
      'its loader is opened for a program of which no event told. A task that has another program’s exec fail right before is taken for that one: `--memfd-noexec`',
    attempt: (c) => ran(c, '/bin/opener', 'memory', '/usr/bin/dynamic', 'ran'),
    path: '/memfd',
  },
  {
    way: 'a static program is executed from memory (memfd)',
    rule: 'drift',
    outcome: 'unseen',
    succeeds: true,
    answer: 'the kernel raises no event for a file without a name: `--memfd-noexec` (Linux 6.3), or BPF LSM',
    attempt: (c) => ran(c, '/bin/opener', 'memory', '/bin/busybox', 'echo', 'ran'),
    path: '/memfd',
  },
  {
    way: 'the same',
    rule: 'drift',
    optIn: 'memfd-noexec',
    outcome: 'unseen',
    succeeds: false,
    answer: 'the kernel refuses to make such a file in the container (`EACCES`); nobody is told',
    attempt: (c) => ran(c, '/bin/opener', 'memory', '/bin/busybox', 'echo', 'ran'),
    path: '/memfd',
  },
  {
    way: 'a program of the image is changed by truncate(2), without an open',
    rule: 'drift',
    outcome: 'contained',
    succeeds: false,
    answer: 'it is not executed any more',
    attempt: (c) =>
      shRan(c, '/bin/opener truncate /usr/bin/linked 2000000; sleep 0.1; /usr/bin/linked echo ran'),
    path: '/usr/bin/linked',
  },
  {
    way: 'a file that the container itself has made is cut by truncate(2), without an open',
    rule: 'modify',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'seeing it would take watching every write on the filesystem, also those of the host: one of 4 KiB took 11.0 µs then and 3.8 µs without; so it is with a file of the image that was changed before. A program that is cut so is refused by drift',
    before: (c) => c.sh('echo text > /etc/own'),
    attempt: async (c) => (await c.exec('/bin/opener', 'truncate', '/etc/own', '1')).stdout === 'ok\n',
    path: '/etc/own',
  },
  {
    way: 'a file that may not be changed is changed under another name (by a hard link)',
    rule: 'modify',
    outcome: 'unseen',
    succeeds: true,
    answer:
      'a rule about a path is about that path: a rule that logs `createFile` where links may be made tells of the link; a read-only root filesystem, or a user who does not own the file, has none made',
    attempt: (c) => shRan(c, 'ln /etc/passwd /tmp/other && echo ran >> /tmp/other && cat /etc/passwd'),
    path: '/etc/passwd',
  },
  {
    way: 'a file is deleted under a rule that blocks `deleteFile`',
    rule: 'delete',
    outcome: 'detected',
    succeeds: true,
    answer: 'reported; refusing it takes BPF LSM',
    attempt: async (c) => (await c.exec('/bin/rm', '/etc/passwd')).exitCode === 0,
    path: '/etc/passwd',
  },
  ...callWays,
  ...volumeWays,
  ...mountWays,
];

/** Something that is done while no keeper is there, and what becomes of it once the next one has taken the container up. */
export interface Gap {
  readonly way: string;
  readonly rule: Rule;
  /** Whether it still works for the container after that. */
  readonly succeeds: boolean;
  readonly answer: string;
  /** Done in the gap. False when it was refused there, which nobody is to do. */
  readonly meanwhile: (container: Container) => Promise<boolean>;
  readonly afterwards: (container: Container) => Promise<boolean>;
}

const exists = async (c: Container, path: string) => (await c.exec('/bin/test', '-e', path)).exitCode === 0;
/** Lets what waits in the background of the container go on, and waits until it has ended. */
const letGo = (c: Container) => c.sh(': > /tmp/go; while [ ! -e /tmp/end ]; do sleep 0.05; done');

/** The keeper itself is killed, which only root of the node can do. */
export const gaps: readonly Gap[] = [
  {
    way: 'a file that may not be changed is changed',
    rule: 'modify',
    succeeds: false,
    answer: 'what was done in the gap stays, and is not reported; from then on it is refused again',
    meanwhile: async (c) => (await c.sh('echo x >> /etc/passwd')).exitCode === 0,
    afterwards: async (c) => (await c.sh('echo y >> /etc/passwd')).exitCode === 0,
  },
  {
    way: 'a program is brought and executed',
    rule: 'drift',
    succeeds: false,
    answer: 'it runs in the gap; afterwards it is refused by drift, which needs nothing that was seen',
    meanwhile: (c) => shRan(c, `cp /bin/busybox ${dropped}; ${dropped} echo ran`),
    afterwards: (c) => shRan(c, `${dropped} echo ran`),
  },
  {
    way: 'a program is started that goes on',
    rule: 'modify',
    succeeds: false,
    answer: 'it is not ended; what it does from then on is decided as ever',
    meanwhile: async (c) => {
      await c.sh(
        '(while [ ! -e /tmp/go ]; do sleep 0.05; done; echo z >> /etc/group && : > /tmp/done; : > /tmp/end) </dev/null >/dev/null 2>&1 &',
      );
      return true;
    },
    afterwards: async (c) => {
      await letGo(c);
      return await exists(c, '/tmp/done');
    },
  },
  {
    way: 'a file that may not be changed is opened for writing, and stays open',
    rule: 'modify',
    succeeds: true,
    answer: 'a gate decides opens, not writes: end the container if it must not go on',
    meanwhile: async (c) => {
      await c.sh(
        '(exec 3>> /etc/shells; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo written >&3; : > /tmp/end) </dev/null >/dev/null 2>&1 &',
      );
      return await exists(c, '/etc/shells');
    },
    afterwards: async (c) => {
      await letGo(c);
      return (await c.exec('/bin/cat', '/etc/shells')).stdout.includes('written');
    },
  },
];

/** What cannot be shown in a test's container. */
export const beyond: readonly { readonly way: string; readonly answer: string }[] = [
  {
    way: 'a container that brings some 65,000 programs to be against a rule, or has more than its share of [what is remembered](node.md#what-is-remembered), and then another one',
    answer:
      'that one is `detected` and not `contained` (`containment_full`): what is not of the image is refused by drift all the same, further names of the image’s programs and what lies on volumes are executed. Of other containers nothing is forgotten',
  },
  {
    way: 'containers of gVisor and Kata',
    answer:
      'the node’s kernel does not see their operations: not enforceable here; counted as `container_unseen` where policies apply and containerd says the runtime',
  },
  {
    way: 'anything, on a kernel without fanotify permission events',
    answer:
      'reported and never refused; the agent is not ready in mode `enforce`: [such a kernel](node.md#a-kernel-without-permission-events)',
  },
  {
    way: 'a container whose root filesystem is not an overlay of the kernel that can be written to: of another snapshotter or storage driver (btrfs, ZFS, devicemapper, `fuse-overlayfs`), or an overlay without an upper directory',
    answer:
      'it is never marked, and nothing in it is gated: use overlayfs, as containerd, Docker, podman and cri-o do unless told otherwise. With `readOnlyRootFilesystem` there is an upper directory all the same',
  },
  {
    way: 'a container of rootless Podman or rootless Docker, or of any runtime that mounts root filesystems in a mount namespace of its own',
    answer:
      'the host’s mount table does not show its root filesystem, so it is never marked, and nothing in it is gated: [a host](host.md)',
  },
  {
    way: 'a privileged container, or one with the host’s pid namespace and CAP_SYS_ADMIN or CAP_SYS_PTRACE',
    answer: 'it can undo any gate of its node: do not admit it',
  },
  {
    way: 'a container that sees the processes of another one (`shareProcessNamespace`, the host’s pid namespace), through `/proc/PID/root`',
    answer:
      'what it does in that one’s root filesystem is not judged by its own rules: what it executes there is judged by those of the other one, and what it writes there by none. Give no container of such a pod fewer rules than the others',
  },
  {
    way: 'an older file on the disk of a volume, by its number (`open_by_handle_at`, with CAP_DAC_READ_SEARCH)',
    answer:
      'also those outside of the volume are opened so, and rules about paths do not know them: with a volume on the node’s disk that capability is as good as the host’s root',
  },
  {
    way: 'a program on a volume that is not watched (NFS, FUSE, ...), or in an image of a filesystem that the container mounts (with CAP_SYS_ADMIN)',
    answer:
      'executed without being seen in the first case (`volume_unwatched`); in the second it came to be with its image, which is data: block `exec` below where volumes are',
  },
  {
    way: 'code that a running program brings into its own memory, or into another one’s (`mmap`, `ptrace`, `/proc/PID/mem`, `process_vm_writev`)',
    answer: 'nothing is opened to be executed',
  },
  {
    way: 'a core dump, of a task that is killed while it opens a file to read, where the host’s `kernel.core_pattern` is a file',
    answer:
      'under a rule that blocks `createFile` it is `detected`: the kernel shows the call that is over. Of any other task it is refused',
  },
  {
    way: 'a dynamic program without a file, in a container with a volume that is not watched (NFS, FUSE, ...)',
    answer: 'nothing follows from an event that is missing there: `--memfd-noexec`',
  },
  {
    way: 'a script, under `--block-scripts`, by an interpreter whose file has another name',
    answer:
      'interpreters are known by name, and shells and `node` by one without a version; a copy of one is not executed where new programs are blocked',
  },
  {
    way: 'a shared library that is not of the image (LD_PRELOAD, dlopen)',
    answer:
      'opening it to read is not told from reading data: block `createFile` where libraries may not appear (`createExecutable` is about files with an execute bit, which a library does not need)',
  },
  {
    way: 'a container of a runtime that is executed for the first time from an unusual place, on a machine so busy that the keeper gets no time for 40 ms',
    answer:
      'its first program runs unseen; it is found (`first_program_missed`), its container is gated from then on, and the runtime is held at every later start: [from when on](node.md#from-when-on)',
  },
  {
    way: 'a container that starts while the agent, which says what decides for it, gets no time for as long as `--hold-ms` (2 s)',
    answer: '`--on-unknown` decides, `allow` unless told otherwise; counted as `container_unknown`',
  },
  {
    way: 'a writer that ends between the comparison of a program and its exec',
    answer:
      'the kernel refuses an exec while the file is open for writing, so it takes one that closes it in that moment',
  },
];
