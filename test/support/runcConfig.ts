/** The OCI runtime configuration of a test's runc container. */

const capabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
].concat(['CAP_MKNOD', 'CAP_SYS_CHROOT', 'CAP_SETPCAP', 'CAP_NET_BIND_SERVICE', 'CAP_FSETID']);

/** As `mounts` of an OCI configuration has it. */
export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options?: readonly string[];
}

/** A folder or file of the host as a volume. */
export const bind = (source: string, destination: string, mode: 'rw' | 'ro' = 'rw'): OciMount => ({
  destination,
  type: 'bind',
  source,
  options: ['rbind', mode],
});

/** A volume in memory. */
export const memory = (destination: string): OciMount => ({ destination, type: 'tmpfs', source: 'tmpfs' });

/** A configuration with namespaces of its own except for the network, so that starting one is quick. */
export function runcConfig(
  id: string,
  args: readonly string[],
  annotations: Readonly<Record<string, string>>,
  moreCapabilities: readonly string[] = [],
  volumes: readonly OciMount[] = [],
  sharesProcesses = false,
): Record<string, unknown> {
  const granted = [...capabilities, ...moreCapabilities];
  return {
    ociVersion: '1.0.2',
    hostname: id.slice(0, 60),
    annotations,
    root: { path: 'rootfs', readonly: false },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args,
      env: ['PATH=/bin:/usr/bin:/usr/local/bin'],
      cwd: '/',
      noNewPrivileges: true,
      capabilities: { bounding: granted, effective: granted, permitted: granted },
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: ['nosuid', 'nodev', 'mode=1777', 'size=65536k'],
      },
      ...volumes,
    ],
    linux: {
      namespaces: [...(sharesProcesses ? [] : ['pid']), 'ipc', 'uts', 'mount'].map((type) => ({ type })),
      cgroupsPath: `/d4c-gate-test/${id}`,
      resources: { devices: [{ allow: true, access: 'rwm' }] },
    },
  };
}
