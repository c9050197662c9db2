/** The flags of `d4c-gate node` that say how the gate decides without a rule, and which keeper has it. */

import { type Command, Option } from 'commander';
import { parseCount } from '../config.ts';
import { defaultKeeperSocket, type KeeperPlace } from '../native/keeperProgram.ts';
import type { AgentOptions } from '../node/agent.ts';

type GateSettings = Pick<AgentOptions, 'onUnknown' | 'onAgentLoss' | 'onDeadline'>;
type OptIns = Pick<AgentOptions, 'blockScripts' | 'memfdNoexec' | 'processEnds'>;

export interface GateFlags extends GateSettings, Partial<OptIns> {
  readonly holdMs: string;
  readonly deadlineMs: string;
  readonly silenceMs: string;
  readonly keeper: KeeperPlace['how'];
  readonly keeperSocket: string;
  readonly keepGate?: true;
}

export function addGateFlags(command: Command): Command {
  const choice = (flag: string, says: string, choices: readonly string[], preset: string): Option =>
    new Option(flag, says).choices(choices).default(preset);
  return command
    .option('--hold-ms <n>', 'how long the first exec of a container waits for its policies', '2000')
    .addOption(
      choice(
        '--on-unknown <verdict>',
        'what decides when a container is not known by then',
        ['allow', 'deny'],
        'allow',
      ),
    )
    .option('--deadline-ms <n>', 'how long judging an event may take; 0: for ever', '200')
    .addOption(
      choice(
        '--on-deadline <verdict>',
        'what decides then; `rules`: deny where a rule blocks',
        ['rules', 'allow', 'deny'],
        'rules',
      ),
    )
    .addOption(
      choice(
        '--keeper <which>',
        '`start`: a process that outlives the agent; `join`: one that runs; `off`: one that ends with the agent',
        ['start', 'join', 'off'],
        'start',
      ),
    )
    .option('--keeper-socket <path>', 'where the keeper listens', defaultKeeperSocket)
    .addOption(
      choice(
        '--on-agent-loss <verdict>',
        'what decides while the agent is gone; `keep`: its policies',
        ['keep', 'allow', 'deny'],
        'keep',
      ),
    )
    .option(
      '--silence-ms <n>',
      'how long an agent that is connected may give no sign of life before it counts as gone',
      '10000',
    )
    .option(
      '--block-scripts',
      'refuse what is not of the image to interpreters, too, where executing it is blocked',
    )
    .option(
      '--memfd-noexec',
      'set `vm.memfd_noexec=2` in containers where new programs are blocked (Linux 6.3)',
    )
    .option('--process-ends', 'write a document for the end of each process whose begin was logged')
    .option('--keep-gate', 'leave the gate to the keeper when told to stop');
}

/** @throws USAGE */
export function readGateFlags(
  flags: GateFlags,
): GateSettings & OptIns & Pick<AgentOptions, 'holdMs' | 'deadlineMs' | 'silenceMs' | 'keeper'> {
  const { onUnknown, onAgentLoss, onDeadline } = flags;
  const { blockScripts = false, memfdNoexec = false, processEnds = false } = flags;
  return {
    blockScripts,
    memfdNoexec,
    processEnds,
    onUnknown,
    onAgentLoss,
    onDeadline,
    holdMs: parseCount('--hold-ms', flags.holdMs, 1, 60_000),
    deadlineMs: parseCount('--deadline-ms', flags.deadlineMs, 0, 60_000),
    silenceMs: parseCount('--silence-ms', flags.silenceMs, 500, 60_000),
    keeper: { how: flags.keeper, socket: flags.keeperSocket },
  };
}
