/** What every document says of the machine. Read once, at start. */

import { readFileSync, statSync } from 'node:fs';
import { arch, hostname, networkInterfaces, release } from 'node:os';
import { join } from 'node:path';

export interface HostFacts {
  readonly name: string;
  /** Of `/etc/machine-id`. */
  readonly id: string | undefined;
  readonly ips: readonly string[];
  readonly macs: readonly string[];
  readonly architecture: string;
  readonly bootId: string | undefined;
  readonly pidNamespaceInode: string | undefined;
  readonly os: {
    readonly family: string | undefined;
    readonly name: string | undefined;
    readonly full: string | undefined;
    readonly version: string | undefined;
    readonly platform: string | undefined;
    readonly kernel: string;
  };
}

/** As the kernel names them, which is what ECS asks for. */
const architectures: Record<string, string> = { x64: 'x86_64', arm64: 'aarch64' };

/**
 * Never throws: what cannot be read is left out. `root` is where the host's root filesystem is seen, `nodeName` the name
 * of the machine where a pod has one of its own.
 */
export function readHost(root = '/', nodeName?: string): HostFacts {
  const interfaces = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter((each) => !each.internal);
  const release_ = osRelease(root);
  const id = release_.get('ID');
  return {
    name: nodeName ?? hostname(),
    id: read(join(root, 'etc/machine-id')),
    ips: [...new Set(interfaces.map((each) => each.address))],
    // ECS writes them as RFC 7042 does.
    macs: [...new Set(interfaces.map((each) => each.mac.replaceAll(':', '-').toUpperCase()))],
    architecture: architectures[arch()] ?? arch(),
    bootId: read('/proc/sys/kernel/random/boot_id'),
    pidNamespaceInode: pidNamespaceInode(),
    os: {
      family: release_.get('ID_LIKE')?.split(' ')[0] ?? id,
      name: release_.get('NAME'),
      full: release_.get('PRETTY_NAME'),
      version: release_.get('VERSION_ID'),
      platform: id,
      kernel: release(),
    },
  };
}

function osRelease(root: string): Map<string, string> {
  // In /etc it is a link, which leads out of `root` where it is absolute.
  const text = read(join(root, 'usr/lib/os-release')) ?? read(join(root, 'etc/os-release')) ?? '';
  return new Map(
    [...text.matchAll(/^([A-Z_]+)=(?:"([^"]*)"|'([^']*)'|(.*))$/gm)].map(([, key, double, single, plain]) => [
      key ?? '',
      double ?? single ?? plain ?? '',
    ]),
  );
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

function pidNamespaceInode(): string | undefined {
  try {
    return String(statSync('/proc/self/ns/pid').ino);
  } catch {
    return undefined;
  }
}
