/** A process in the fields of the Elastic Common Schema. */

import { beginningOf } from '../nodePod.ts';
import type { HostFacts } from './host.ts';
import type { ProcessFacts } from './observation.ts';

const maxArgs = 256;
const maxArgsLength = 16_384;

/** Never empty. What is not known is `undefined`. */
export function processFields(facts: ProcessFacts, host: HostFacts): Record<string, unknown> {
  const args = facts.args && cut(facts.args);
  return {
    pid: facts.pid,
    entity_id: entityId(facts, host),
    name: facts.executable?.slice(facts.executable.lastIndexOf('/') + 1),
    executable: facts.executable,
    args,
    args_count: facts.argsCount ?? facts.args?.length,
    command_line: args?.join(' '),
    start: facts.startUs === undefined ? undefined : isoTime(facts.startUs),
    working_directory: facts.workingDirectory,
    interactive: facts.interactive,
    user: facts.userId === undefined ? undefined : { id: String(facts.userId) },
    group: facts.groupId === undefined ? undefined : { id: String(facts.groupId) },
  };
}

/**
 * Base64 of `<pid namespace inode>__<boot id>__<pid>__<start time in seconds>`: the form on which Elastic's
 * rules and Session View join. `undefined` while the start is not known, since a process ID alone is reused.
 */
export function entityId(facts: ProcessFacts, host: HostFacts): string | undefined {
  if (facts.startUs === undefined || host.bootId === undefined || host.pidNamespaceInode === undefined) {
    return undefined;
  }
  const start = Math.floor(facts.startUs / 1e6);
  return Buffer.from(`${host.pidNamespaceInode}__${host.bootId}__${facts.pid}__${start}`).toString('base64');
}

/** The second that was written last: an event's time and the start of its process are mostly in the same. */
let last = { second: 0, text: '1970-01-01T00:00:00' };

/** Microseconds since 1970 as `2026-01-02T03:04:05.123456Z`. */
export function isoTime(us: number): string {
  const whole = Math.floor(us);
  const second = Math.floor(whole / 1e6);
  if (last.second !== second) last = { second, text: new Date(second * 1e3).toISOString().slice(0, 19) };
  return `${last.text}.${String(whole % 1e6).padStart(6, '0')}Z`;
}

/** Whether both are one process, and not one that has the number of another. */
export function isSameProcess(one: ProcessFacts, other: ProcessFacts): boolean {
  return one.pid === other.pid && (one.startUs === undefined || one.startUs === other.startUs);
}

/** A command line may be megabytes long: its beginning is enough to know it by. */
function cut(args: readonly string[]): string[] {
  const kept: string[] = [];
  let left = maxArgsLength;
  for (const arg of args.slice(0, maxArgs)) {
    if (left <= 0) break;
    kept.push(beginningOf(arg, left));
    left -= arg.length + 1;
  }
  return kept;
}
