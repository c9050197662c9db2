/** `d4c-gate serve`: the admission webhook, from flags to the last answer. */

import { ensureDevCertificates } from '../admission/devCertificates.ts';
import { rememberGenerations } from '../admission/generations.ts';
import { listen } from '../admission/listen.ts';
import { policiesGauge } from '../admission/metrics.ts';
import { createApp } from '../admission/server.ts';
import { followTlsFiles, readTlsFiles, type TlsFiles } from '../admission/tlsFiles.ts';
import { keepServed } from '../certificates/served.ts';
import { parseCount, parseListen } from '../config.ts';
import { GateError } from '../errors.ts';
import { log } from '../log.ts';
import { type Generation, watchDirectory } from '../sources/directory.ts';
import type { AddCommand } from './program.ts';

/** The hard limit after the linger; together they stay below Kubernetes' grace period of 30 s. */
const hardMs = 20_000;

interface ServeFlags {
  policies: string;
  listen: string;
  tlsCert?: string;
  tlsKey?: string;
  devCerts?: boolean;
  certsDir: string;
  clusterName?: string;
  clusterId?: string;
  lenient?: boolean;
  drainMs: string;
}

export const serveCommand: AddCommand = (program, done) => {
  program
    .command('serve')
    .description('run the admission webhook')
    .requiredOption('--policies <directory>', 'policies to enforce, one YAML file each; changes are followed')
    .option('--listen <host:port>', 'where to listen', ':8443')
    .option('--tls-cert <file>', 'serving certificate (PEM); followed when it changes')
    .option('--tls-key <file>', 'key of the serving certificate (PEM)')
    .option('--dev-certs', 'make a CA and a serving certificate for trying out')
    .option('--certs-dir <directory>', 'where --dev-certs keeps them', 'certs')
    .option('--cluster-name <name>', 'the name that kubernetesClusterName is compared with')
    .option(
      '--cluster-id <uid>',
      'UID of the namespace kube-system, which kubernetesClusterId is compared with',
    )
    .option('--lenient', "accept what Elastic's policy editor accepts")
    .option('--drain-ms <milliseconds>', 'how long to go on answering after SIGTERM', '3000')
    .action(async (flags: ServeFlags) => {
      await serve(flags);
      done(0);
    });
};

async function serve(flags: ServeFlags): Promise<void> {
  const { host, port } = parseListen(flags.listen);
  const drainMs = parseCount('--drain-ms', flags.drainMs, 0, 3_600_000);
  const { clusterName, clusterId, lenient } = flags;

  const policies = await watchDirectory(flags.policies, {
    mode: lenient ? 'lenient' : 'strict',
    clusterName,
    onGeneration(generation) {
      generations.publish(generation);
      countPolicies(generation);
    },
    onRefused(faults) {
      policiesGauge.set({ state: 'refused' }, new Set(faults.map(({ file }) => file)).size);
    },
  });
  const generations = rememberGenerations(policies.current(), policies.refresh);
  countPolicies(generations.current());

  let isReady = true;
  const app = createApp({ generations, cluster: { clusterId, clusterName }, isReady: () => isReady });
  const files = await tlsFilesOf(flags, host);
  const pair = await readTlsFiles(files);
  const listener = await listen(host, port, pair, app);
  const tls = followTlsFiles(files, keepServed(listener.useCertificate, pair));
  say(`listening on https://${host.includes(':') ? `[${host}]` : host}:${listener.port}`);

  const signal = await stopSignal();
  log.info({ signal }, 'draining');
  isReady = false;
  const drained = listener.drain(drainMs, hardMs);
  void stopSignal().then(() => listener.drain(0, 0));
  await drained;
  policies.close();
  tls.close();
}

async function tlsFilesOf(flags: ServeFlags, host: string): Promise<TlsFiles> {
  const { tlsCert: certFile, tlsKey: keyFile, devCerts, certsDir } = flags;
  if (devCerts && certFile === undefined && keyFile === undefined) {
    const made = await ensureDevCertificates(certsDir, host);
    say(`CA certificate: ${made.caFile}`);
    return made;
  }
  if (devCerts || certFile === undefined || keyFile === undefined) {
    throw new GateError('USAGE', 'give either `--tls-cert` with `--tls-key`, or `--dev-certs`');
  }
  return { certFile, keyFile };
}

function countPolicies(generation: Generation): void {
  policiesGauge.set({ state: 'published' }, generation.policies.length);
  policiesGauge.set({ state: 'refused' }, 0);
}

/** The first SIGTERM or SIGINT from now on. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => resolve(signal));
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
