/** The table of subcommands, and the one place that turns an error into an exit code. */

import { Command, CommanderError } from 'commander';
import { checkEnvironment } from '../config.ts';
import { GateError } from '../errors.ts';
import { log } from '../log.ts';
import { checkCommand } from './check.ts';
import { crdCommand } from './crd.ts';
import { explainCommand } from './explain.ts';
import { run as runHealth } from './health.ts';
import { nodeCommand } from './node.ts';
import { serveCommand } from './serve.ts';
import { statusCommand } from './status.ts';
import { uninstallCommand } from './uninstall.ts';
import { versionCommand } from './version.ts';

/** 0 fine, 1 the answer is no (faults, denied), 2 misuse or failure. */
export type ExitCode = 0 | 1 | 2;

/** Adds a subcommand; its action hands its exit code to `done`. */
export type AddCommand = (program: Command, done: (exitCode: ExitCode) => void) => void;

/** For the help alone: `main` answers it without loading this file. */
const healthCommand: AddCommand = (program, done) => {
  program
    .command('health')
    .description(
      'say whether the agent of a pod is ready, for probes; exit code 1 and the reason when it is not',
    )
    .argument('<file>', 'of `d4c-gate node --health-file`')
    .option('--alive', 'only whether it still works')
    .action(async (file: string, { alive }: { alive?: boolean }) =>
      done(await runHealth(['health', file, ...(alive ? ['--alive'] : [])])),
    );
};

const commands: AddCommand[] = [
  checkCommand,
  explainCommand,
  serveCommand,
  nodeCommand,
  statusCommand,
  healthCommand,
  crdCommand,
  uninstallCommand,
  versionCommand,
];

/** Runs one command line (without `node` and the script) to its end. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = 0;
  const program = new Command('d4c-gate')
    .description('Defend for Containers policies at admission and on the node')
    .exitOverride()
    .showHelpAfterError('(d4c-gate help shows every subcommand)')
    .configureHelp({ showGlobalOptions: true });
  for (const add of commands) {
    add(program, (code) => {
      exitCode = code;
    });
  }
  for (const command of program.commands) command.exitOverride();
  try {
    checkEnvironment();
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    return exitCodeOf(error);
  }
  return exitCode;
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof GateError) process.stderr.write(`d4c-gate: ${error.message} (${error.code})\n`);
  else log.fatal({ err: error }, 'unexpected error; please report it');
  return 2;
}
