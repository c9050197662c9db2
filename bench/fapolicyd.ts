/**
 * The peer: fapolicyd, watching overlay filesystems alone and never the machine's own.
 *
 * It runs in a mount namespace of its own, in which its configuration and its trust database are temporary folders, so that
 * nothing of an installed fapolicyd is touched.
 */

import { statfsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Daemon, startDaemon } from '../test/support/daemon.ts';
import { isInstalled } from '../test/support/programs.ts';

const overlayMagic = 0x794c7630;

/** Why fapolicyd cannot be measured here, or `undefined`. */
export function fapolicydMissing(): string | undefined {
  if (!isInstalled('fapolicyd')) return 'it is not installed (Debian: apt-get install fapolicyd)';
  if (statfsSync('/').type === overlayMagic)
    return "this machine's own root is an overlay, which must not be watched";
  return undefined;
}

const configuration = `permissive = 0
nice_val = 14
q_size = 640
uid = root
gid = root
do_stat_report = 0
detailed_report = 0
db_max_size = 50
subj_cache_size = 1549
obj_cache_size = 8191
watch_fs = overlay
trust = file
integrity = none
syslog_format = rule,dec,perm,auid,pid,exe,:,path,ftype,trust
allow_filesystem_mark = 1
`;

const rules = `deny_audit perm=execute all : dir=/tmp/
allow perm=any all : all
`;

export async function startFapolicyd(folder: string): Promise<Daemon> {
  const etc = join(folder, 'fapolicyd-etc');
  const state = join(folder, 'fapolicyd-state');
  await mkdir(join(etc, 'trust.d'), { recursive: true });
  await mkdir(state, { recursive: true });
  await writeFile(join(etc, 'fapolicyd.conf'), configuration);
  await writeFile(join(etc, 'compiled.rules'), rules);
  await writeFile(join(etc, 'fapolicyd.trust'), '');
  const script =
    'mount --bind "$1" /etc/fapolicyd && mount --bind "$2" /var/lib/fapolicyd && exec fapolicyd --debug-deny';
  const args = ['--mount', '--propagation', 'slave', 'sh', '-c', script, 'sh', etc, state];
  return startDaemon('unshare', args, /Starting to listen for events/);
}
