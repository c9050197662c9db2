/** Whether the host's root filesystem is mounted so that the gate sees the containers that start later. */

import { readFileSync } from 'node:fs';
import { GateError } from '../errors.ts';

/** `mountinfo` is the table of this process. @throws HOST_ROOT_UNUSABLE */
export function checkHostRoot(
  hostRoot: string,
  mountinfo = () => readFileSync('/proc/self/mountinfo', 'utf8'),
): void {
  if (hostRoot === '/') return;
  // A line: id, parent, major:minor, root, mount point, options, optional fields, `-`, ...
  const fields = mountinfo()
    .split('\n')
    .map((line) => line.split(' '))
    .findLast((each) => each[4] === hostRoot);
  if (fields === undefined) {
    throw new GateError('HOST_ROOT_UNUSABLE', `nothing is mounted at \`${hostRoot}\``);
  }
  const optional = fields.slice(6, fields.indexOf('-'));
  // KERNEL: a mount without a master and without peers hears of no mount that is made elsewhere.
  if (optional.some((field) => /^(master|shared):/.test(field))) return;
  throw new GateError(
    'HOST_ROOT_UNUSABLE',
    `\`${hostRoot}\` does not show what is mounted later; mount it with \`mountPropagation: HostToContainer\`, and the host's root as shared`,
  );
}
