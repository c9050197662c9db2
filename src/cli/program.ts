/** The table of subcommands, and the one place that turns an error into an exit code. */

import { Command, CommanderError } from 'commander';
import { checkEnvironment } from '../config.ts';
import { GateError } from '../errors.ts';
import { log } from '../log.ts';

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
    .action(async (file: string, { alive }: { alive?: boolean }) => {
      const { run: runHealth } = await import('./health.ts');
      done(await runHealth(['health', file, ...(alive ? ['--alive'] : [])]));
    });
};

/** In the order of the help. Each is loaded when it is called: what the others need would take some 6 MiB of an agent's memory. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  check: async () => (await import('./check.ts')).checkCommand,
  explain: async () => (await import('./explain.ts')).explainCommand,
  serve: async () => (await import('./serve.ts')).serveCommand,
  node: async () => (await import('./node.ts')).nodeCommand,
  status: async () => (await import('./status.ts')).statusCommand,
  health: async () => healthCommand,
  crd: async () => (await import('./crd.ts')).crdCommand,
  uninstall: async () => (await import('./uninstall.ts')).uninstallCommand,
  version: async () => (await import('./version.ts')).versionCommand,
};

/** Runs one command line (without `node` and the script) to its end. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = 0;
  const program = new Command('d4c-gate')
    .description('Defend for Containers policies at admission and on the node')
    .exitOverride()
    .showHelpAfterError('(d4c-gate help shows every subcommand)')
    .configureHelp({ showGlobalOptions: true });
  const [name = ''] = argv;
  const called = Object.hasOwn(commands, name) ? commands[name] : undefined;
  for (const load of called === undefined ? Object.values(commands) : [called]) {
    const add = await load();
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
