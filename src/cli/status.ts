/** `d4c-gate status`: what the gate of this machine is doing, and what its kernel offers. */

import { Option } from 'commander';
import { defaultKeeperSocket } from '../native/keeperProgram.ts';
import { probeKernel, readKeeperStatus } from '../native/keeperStatus.ts';
import type { AddCommand, ExitCode } from './program.ts';
import { probeText, statusOf, statusText } from './statusText.ts';

interface StatusFlags {
  readonly output: 'text' | 'json';
  readonly keeperSocket: string;
  readonly probe?: true;
}

export const statusCommand: AddCommand = (program, done) => {
  program
    .command('status')
    .description('what the gate of this machine is doing (as root)')
    .addOption(new Option('--output <form>', 'how to print it').choices(['text', 'json']).default('text'))
    .option('--keeper-socket <path>', 'where the keeper listens', defaultKeeperSocket)
    .option('--probe', 'only what this kernel offers; no gate is needed')
    .action(async (flags: StatusFlags) => done(await showStatus(flags)));
};

/** @throws KEEPER_UNREACHABLE, GATE_NOT_PERMITTED, GATE_NOT_BUILT, GATE_UNSUPPORTED, KEEPER_FAILED */
async function showStatus({ output, keeperSocket, probe }: StatusFlags): Promise<ExitCode> {
  const print = <T>(value: T, text: (value: T) => string): void => {
    process.stdout.write(output === 'json' ? `${JSON.stringify(value, null, 2)}\n` : text(value));
  };
  if (probe) print(probeKernel(), probeText);
  else print(statusOf(await readKeeperStatus(keeperSocket)), statusText);
  return 0;
}
