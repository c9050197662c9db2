/** `d4c-gate node`: gates the containers of this machine until it is told to stop. */

import { createHash, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Option } from 'commander';
import { environment } from '../config.ts';
import { GateError } from '../errors.ts';
import { type HostFacts, readHost } from '../events/host.ts';
import { openNdjson } from '../events/ndjson.ts';
import { type Mode, modes } from '../events/observation.ts';
import type { Sink } from '../events/sink.ts';
import { stdoutSink } from '../events/stdout.ts';
import { log } from '../log.ts';
import type { AgentOptions } from '../node/agent.ts';
import { openHealth } from '../node/health.ts';
import { type OpenPlace, plainHost } from '../node/place.ts';
import { defaultContainerdSockets } from '../node/sockets.ts';
import { watchDirectory } from '../sources/directory.ts';
import { addGateFlags, type GateFlags, readGateFlags } from './gateFlags.ts';
import type { NodeCluster } from './nodeCluster.ts';
import { openPatiently, standBy, tellUnenforceable } from './nodeOpen.ts';
import type { AddCommand, ExitCode } from './program.ts';
import { version } from './version.ts';

interface NodeFlags extends GateFlags {
  readonly policies?: string;
  readonly kubeconfig?: string;
  readonly output?: string;
  readonly mode: Mode;
  readonly clusterName?: string;
  readonly clusterId?: string;
  readonly containerdSocket?: string[];
  readonly hostRoot: string;
  readonly healthFile?: string;
  readonly excludeNamespace?: string[];
  readonly namespace: string;
}

export const nodeCommand: AddCommand = (program, done) => {
  const command = program
    .command('node')
    .description('gate the containers of this machine (as root, on Linux)')
    .option('--policies <dir>', 'folder of policy files; changes are taken over while running')
    .option(
      '--kubeconfig <file>',
      'gate as this cluster says (default: the one that this pod runs in, if any)',
    )
    .option('--output <where>', '`stdout`, or `ndjson:DIR` for one file per data stream (in a pod: stdout)')
    .addOption(new Option('--mode <mode>', '`observe` only reports').choices(modes).default('enforce'));
  addGateFlags(command)
    .option('--cluster-name <name>', 'for the condition `kubernetesClusterName`')
    .option(
      '--cluster-id <uid>',
      'UID of the namespace kube-system, for `kubernetesClusterId` (in a cluster: read)',
    )
    .option('--containerd-socket <path...>', `on the host; default: ${defaultContainerdSockets.join(', ')}`)
    .option('--host-root <dir>', "where the host's root filesystem is seen", '/')
    .option('--health-file <file>', 'keep there how the agent is, for `d4c-gate health`')
    .option('--exclude-namespace <name...>', 'in a cluster: never gate these, whatever their labels say')
    .option('--namespace <name>', 'last part of the data streams’ names', 'default')
    .addHelpText(
      'after',
      '\nIn a cluster, policies are its ContainerPolicies, and namespaces opt in by the label `d4c-gate.io/mode`;' +
        '\n`--policies` adds further policies, and `--mode observe` refuses nothing, whatever namespaces say.',
    )
    .action(async (flags: NodeFlags) => done(await runNode(flags)));
};

async function runNode(flags: NodeFlags): Promise<ExitCode> {
  const gateSettings = readGateFlags(flags);
  checkDataStreams(flags.namespace);
  const { holdMs } = gateSettings;
  const inCluster = isOfCluster(flags);
  if (flags.output === undefined && !inCluster) {
    throw new GateError('USAGE', 'name an output: `--output stdout` or `--output ndjson:DIR`');
  }
  const stopping = new AbortController();
  const stopped = stopSignal();
  void stopped.then(() => stopping.abort());
  const { mode, output = 'stdout', hostRoot } = flags;
  const sink = await openSink(output);
  const health = openHealth(flags.healthFile);
  const { clusterName, clusterId, policies, kubeconfig } = flags;
  let cluster: NodeCluster | undefined;
  try {
    if (inCluster) {
      // Loaded here alone: the client of Kubernetes takes half a second and 90 MB.
      const { openNodeCluster } = await import('./nodeCluster.ts');
      cluster = await openNodeCluster({
        kubeconfig,
        policies,
        mode,
        clusterName,
        clusterId,
        excludedNamespaces: flags.excludeNamespace ?? [],
      });
    }
    const host = readHost(hostRoot, cluster?.nodeName);
    const options: AgentOptions = {
      place: cluster?.place ?? openPlainHost(policies ?? '', mode, clusterName, clusterId),
      sink,
      mode,
      ...gateSettings,
      spareNamespaces: cluster?.neverOptIn ?? [],
      containerdSockets: (flags.containerdSocket ?? defaultContainerdSockets).map((path) =>
        join(hostRoot, path),
      ),
      clusterName,
      hostRoot,
      onDifference: (difference) => cluster?.tellDifference(difference),
      onKeeper: (isThere) => health.suspend(isThere ? undefined : 'no keeper answers, nothing is gated'),
      documents: { host, agent: { id: agentId(host), version }, namespace: flags.namespace },
    };
    for (;;) {
      const agent = await openPatiently(options, cluster, health, stopping.signal);
      if (agent === undefined) return 0;
      const { number, policies: first } = agent.generation();
      log.info({ mode, output, holdMs, generation: number, policies: first.length }, 'gate open');
      const whole = tellUnenforceable(agent, mode, cluster) ?? { isReady: true, reason: undefined };
      const isToBeRead = cluster !== undefined && whole.isReady;
      health.set(isToBeRead ? { isReady: false, reason: 'the cluster has not been read yet' } : whole);
      void cluster?.ready.then((isReady) => isReady && health.set(whole));
      const signal = await Promise.race([stopped, agent.taken]);
      if (signal !== undefined) {
        health.set({ isReady: false, reason: 'it ends' });
        const keepsGate = flags.keepGate === true || flags.keeper === 'join';
        log.info({ signal, keepsGate }, 'gate closing');
        await agent.close({ keepsGate });
        log.info(await agent.stats(), keepsGate ? 'gate left to the keeper' : 'gate closed');
        return 0;
      }
      await agent.close({ keepsGate: true });
      const reason = `another agent has come to the keeper at \`${flags.keeperSocket}\``;
      // In a cluster that is the one of an upgrade, and ending would be a restart that takes the keeper back.
      if (cluster === undefined) throw new GateError('KEEPER_TAKEN', reason);
      log.info({ reason }, 'standing by');
      await standBy(flags.keeperSocket, stopping.signal);
    }
  } finally {
    await cluster?.close();
    health.close();
    await sink.close();
  }
}

/** @throws USAGE */
function isOfCluster({ kubeconfig, policies }: NodeFlags): boolean {
  if (kubeconfig !== undefined) return true;
  if (environment.isInCluster && environment.nodeName !== undefined) return true;
  if (policies !== undefined) return false;
  throw new GateError(
    'USAGE',
    environment.isInCluster
      ? 'set `NODE_NAME` to the name of the node (`spec.nodeName` by the downward API), or name a directory with `--policies`'
      : 'there are no policies: name a directory with `--policies`, or a cluster with `--kubeconfig`',
  );
}

function openPlainHost(
  directory: string,
  mode: Mode,
  clusterName: string | undefined,
  clusterId: string | undefined,
): OpenPlace {
  return async (changed) => {
    const options = { ...(clusterName !== undefined && { clusterName }), onGeneration: () => changed() };
    return plainHost(await watchDirectory(directory, options), mode, clusterId);
  };
}

/** Whether data streams may be called so: it is the last part of their names, and of those of files. @throws USAGE */
function checkDataStreams(namespace: string): void {
  if (/^[a-z0-9_.]{1,100}$/.test(namespace)) return;
  throw new GateError(
    'USAGE',
    `\`--namespace ${namespace}\` must be 1 to 100 lower case letters, digits, \`_\` and \`.\``,
  );
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
