/** The keeper of a test: where it listens, and its end for certain. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './programs.ts';

export interface TestKeeper {
  readonly socket: string;
  /** For the agent: to start it, unless it is there. */
  readonly flags: readonly string[];
  pid(): Promise<number>;
  isAlive(): Promise<boolean>;
  /** Ends it, if there is one, and waits until it has ended. */
  end(signal?: NodeJS.Signals): Promise<void>;
}

export function keeperIn(folder: string): TestKeeper {
  const socket = join(folder, 'keeper.sock');
  const pid = async (): Promise<number> => Number(await readFile(`${socket}.lock`, 'utf8').catch(() => '0'));
  const isAlive = async (): Promise<boolean> => {
    const state = await readFile(`/proc/${await pid()}/stat`, 'utf8').catch(() => '');
    return state.includes('(d4c-gate-keeper') && !/\) Z /.test(state);
  };
  return {
    socket,
    flags: ['--keeper', 'start', '--keeper-socket', socket],
    pid,
    isAlive,
    async end(signal = 'SIGKILL') {
      if (!(await isAlive())) return;
      process.kill(await pid(), signal);
      await eventually('the keeper has ended', async () => !(await isAlive()));
    },
  };
}
