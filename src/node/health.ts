/**
 * How the agent is, in a small file: a probe of the kubelet can run a program in the agent's container, while a port would
 * be the host's, and two agents share a node during an upgrade.
 *
 * The file is written again and again by the thread that binds containers. A file that is old says that this thread hangs.
 */

import { renameSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { log } from '../log.ts';
import type { HealthState } from './healthFile.ts';

export interface Health {
  set(state: HealthState): void;
  /** While there is a reason, it is not ready for that, whatever was set. */
  suspend(reason: string | undefined): void;
  close(): void;
}

const writeEveryMs = 5_000;

/** Keeps `file` up to date; without a file it only logs what changes. */
export function openHealth(file: string | undefined): Health {
  let state: HealthState = { isReady: false, reason: 'it starts' };
  let wanted = state;
  let suspended: string | undefined;
  const write = (): void => {
    if (file === undefined) return;
    try {
      // A reader sees the old file or the new one, never a part.
      writeFileSync(`${file}.new`, JSON.stringify({ ...state, uptime: uptime() }));
      renameSync(`${file}.new`, file);
    } catch (error) {
      log.warn({ file, reason: String(error) }, 'cannot write how the agent is');
    }
  };
  write();
  const timer = setInterval(write, writeEveryMs).unref();
  const tell = (): void => {
    const next = suspended === undefined ? wanted : { isReady: false, reason: suspended };
    if (next.isReady !== state.isReady || next.reason !== state.reason) log.info(next, 'health');
    state = next;
    write();
  };
  return {
    set(next) {
      wanted = next;
      tell();
    },
    suspend(reason) {
      suspended = reason;
      tell();
    },
    close: () => clearInterval(timer),
  };
}
