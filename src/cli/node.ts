/** `d4c-gate node`: gates the containers of this machine until it is told to stop. */

import { createHash, randomUUID } from 'node:crypto';
import { Option } from 'commander';
import { parseCount } from '../config.ts';
import { GateError } from '../errors.ts';
import { type HostFacts, readHost } from '../events/host.ts';
import { openNdjson } from '../events/ndjson.ts';
import { type Mode, modes } from '../events/observation.ts';
import type { Sink } from '../events/sink.ts';
import { stdoutSink } from '../events/stdout.ts';
import { log } from '../log.ts';
import { defaultContainerdSockets } from '../node/sockets.ts';
import type { Verdict } from '../policy/types.ts';
import type { AddCommand, ExitCode } from './program.ts';
import { version } from './version.ts';

interface NodeFlags {
  readonly policies: string;
  readonly output: string;
  readonly mode: Mode;
  readonly holdMs: string;
  readonly onUnknown: Verdict;
  readonly clusterName?: string;
  readonly clusterId?: string;
  readonly containerdSocket?: string[];
  readonly namespace: string;
}

export const nodeCommand: AddCommand = (program, done) => {
  program
    .command('node')
    .description('gate the containers of this machine (as root, on Linux)')
    .requiredOption('--policies <dir>', 'folder of policy files; changes are taken over while running')
    .requiredOption('--output <where>', '`stdout`, or `ndjson:DIR` for one file per data stream')
    .addOption(new Option('--mode <mode>', '`observe` only reports').choices(modes).default('enforce'))
    .option('--hold-ms <n>', 'how long the first exec of a container waits for its policies', '2000')
    .addOption(
      new Option('--on-unknown <verdict>', 'what decides when a container is not known by then')
        .choices(['allow', 'deny'])
        .default('allow'),
    )
    .option('--cluster-name <name>', 'for the condition `kubernetesClusterName`')
    .option('--cluster-id <uid>', 'UID of the namespace kube-system, for `kubernetesClusterId`')
    .option('--containerd-socket <path...>', `default: ${defaultContainerdSockets.join(', ')}`)
    .option('--namespace <name>', 'last part of the data streams’ names', 'default')
    .action(async (flags: NodeFlags) => done(await runNode(flags)));
};

async function runNode(flags: NodeFlags): Promise<ExitCode> {
  const holdMs = parseCount('--hold-ms', flags.holdMs, 1, 60_000);
  const stopped = stopSignal();
  const sink = await openSink(flags.output);
  try {
    const host = readHost();
    // Loaded here alone: gRPC would more than double the start of every other subcommand.
    const { openAgent } = await import('../node/agent.ts');
    const agent = await openAgent({
      policies: flags.policies,
      sink,
      mode: flags.mode,
      holdMs,
      onUnknown: flags.onUnknown,
      containerdSockets: flags.containerdSocket ?? defaultContainerdSockets,
      clusterId: flags.clusterId,
      clusterName: flags.clusterName,
      documents: { host, agent: { id: agentId(host), version }, namespace: flags.namespace },
    });
    const { number, policies } = agent.generation();
    const { mode, output } = flags;
    log.info({ mode, output, holdMs, generation: number, policies: policies.length }, 'gate open');
    log.info({ signal: await stopped }, 'gate closing');
    await agent.close();
    log.info(agent.stats(), 'gate closed');
    return 0;
  } finally {
    await sink.close();
  }
}

/** @throws USAGE, OUTPUT_UNUSABLE */
async function openSink(output: string): Promise<Sink> {
  if (output === 'stdout') return stdoutSink();
  const folder = /^ndjson:(.+)$/.exec(output)?.[1];
  if (folder !== undefined) return await openNdjson(folder);
  throw new GateError('USAGE', `\`--output ${output}\` must be \`stdout\` or \`ndjson:DIR\``);
}

/** Resolves at the first SIGTERM or SIGINT. Later ones change nothing: closing takes a bounded time. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve(signal));
  });
}

/** The same on this machine after every restart, without anything kept on its disk. */
function agentId({ id, name }: HostFacts): string {
  if (id === undefined) return randomUUID();
  const digest = createHash('sha256').update(`d4c-gate agent ${id} ${name}`).digest('hex');
  return [8, 13, 18, 23].reduce((text, at) => `${text.slice(0, at)}-${text.slice(at)}`, digest).slice(0, 36);
}
