/** `d4c-gate serve`: the admission webhook, from flags to the last answer. */

import { followClientAuthorities, readClientAuthorities } from '../admission/callers.ts';
import { listen } from '../admission/listen.ts';
import { type BeforeSync, beforeSyncs, createApp } from '../admission/server.ts';
import { environment, parseCount, parseListen } from '../config.ts';
import { GateError } from '../errors.ts';
import { log } from '../log.ts';
import type { AddCommand } from './program.ts';
import { openInputsOfCluster } from './serveCluster.ts';
import { openFiles } from './serveFiles.ts';
import { type ServeFlags, type ServeInputs, say } from './serveInputs.ts';

/** The hard limit after the linger; together they stay below Kubernetes' grace period of 30 s. */
const hardMs = 20_000;

interface Callers {
  readonly file: string;
  readonly names: readonly string[];
  readonly authorities: string;
}

export const serveCommand: AddCommand = (program, done) => {
  program
    .command('serve')
    .description('run the admission webhook')
    .option('--policies <directory>', 'policies to enforce, one YAML file each; changes are followed')
    .option('--listen <host:port>', 'where to listen', ':8443')
    .option('--tls-cert <file>', 'serving certificate (PEM); followed when it changes')
    .option('--tls-key <file>', 'key of the serving certificate (PEM)')
    .option('--dev-certs', 'make a CA and a serving certificate for trying out')
    .option('--certs-dir <directory>', 'where --dev-certs keeps them', 'certs')
    .option('--kubeconfig <file>', 'serve this cluster (default: the one that this pod runs in, if any)')
    .option('--webhook-url <url>', 'where the API server finds this webhook, if not by its Service')
    .option('--install', 'put the custom resource and the webhook configurations into the cluster first')
    .option('--certificates <mode>', 'who makes the certificate: self, cert-manager or provided', 'self')
    .option('--secret <name>', 'the Secret that holds the certificate', 'd4c-gate-webhook-tls')
    .option('--namespace <name>', "where the Secret and the Lease are (default: this pod's, else d4c-gate)")
    .option('--exclude-namespace <name...>', 'namespaces that never opt in, whatever their labels say')
    .option('--cluster-name <name>', 'the name that kubernetesClusterName is compared with')
    .option(
      '--cluster-id <uid>',
      'UID of the namespace kube-system, which kubernetesClusterId is compared with (default: read there)',
    )
    .option('--lenient', "accept what Elastic's policy editor accepts")
    .option('--before-sync <answer>', 'what pods are answered before policies are read', 'allow')
    .option('--max-in-flight <requests>', 'how many are worked on at a time; more are refused at once', '512')
    .option('--client-ca <file>', 'authorities (PEM) of who may call the hooks; followed when it changes')
    .option('--client-name <name...>', 'names in client certificates that may call the hooks')
    .option('--drain-ms <milliseconds>', 'how long to go on answering after SIGTERM', '3000')
    .addHelpText(
      'after',
      '\nWith files (`--policies` and `--tls-cert` or `--dev-certs`) no cluster is asked. Otherwise policies and' +
        '\ncertificate come from the cluster, and `--policies` adds further policies.',
    )
    .action(async (flags: ServeFlags) => {
      await serve(flags);
      done(0);
    });
};

async function serve(flags: ServeFlags): Promise<void> {
  const { host, port } = parseListen(flags.listen);
  const drainMs = parseCount('--drain-ms', flags.drainMs, 0, 3_600_000);
  const maxInFlight = parseCount('--max-in-flight', flags.maxInFlight, 1, 10_000);
  const beforeSync = parseBeforeSync(flags.beforeSync);
  const callers = await readCallers(flags);
  const ending = new AbortController();
  const { promise: stopped, resolve: stop } = Promise.withResolvers<string>();
  let hurry: () => void = () => undefined;
  onStopSignals((signal, count) => {
    if (count > 1) return hurry();
    stop(signal);
    ending.abort();
  });

  let inputs: ServeInputs | undefined;
  let following: { close(): void } | undefined;
  try {
    inputs = await openInputs(flags, host, ending.signal);
    let isReady = true;
    const app = createApp({
      ...inputs.admission,
      beforeSync,
      limits: { maxInFlight },
      isReady: () => isReady,
      ...(callers && { callers: callers.names }),
    });
    const pair = await inputs.certificate((renewed) => listener.useCertificate(renewed));
    const listener = await listen(host, port, pair, app, {
      ...(callers && { clientAuthorities: callers.authorities }),
    });
    if (callers !== undefined) {
      const { file, authorities } = callers;
      following = followClientAuthorities(file, authorities, listener.useClientAuthorities);
    }
    say(`listening on https://${host.includes(':') ? `[${host}]` : host}:${listener.port}`);

    const signal = await stopped;
    log.info({ signal }, 'draining');
    isReady = false;
    const drained = listener.drain(drainMs, hardMs);
    hurry = () => void listener.drain(0, 0);
    await drained;
  } catch (error) {
    // Told to stop while it waited for the cluster: nothing went wrong.
    if (!ending.signal.aborted) throw error;
  } finally {
    following?.close();
    await inputs?.close();
  }
}

/** Files on the command line mean files, wherever the process runs. */
async function openInputs(flags: ServeFlags, host: string, ended: AbortSignal): Promise<ServeInputs> {
  const { policies, kubeconfig } = flags;
  const hasTlsFlag = flags.devCerts || flags.tlsCert !== undefined || flags.tlsKey !== undefined;
  if (kubeconfig !== undefined || (environment.isInCluster && !hasTlsFlag)) {
    if (!hasTlsFlag) return openInputsOfCluster(flags, ended);
    throw new GateError(
      'USAGE',
      'with `--kubeconfig` the certificate comes from a Secret; leave out `--tls-cert`, `--tls-key` and `--dev-certs`',
    );
  }
  if (flags.install || flags.webhookUrl !== undefined) {
    throw new GateError(
      'USAGE',
      '`--install` and `--webhook-url` need a cluster: name it with `--kubeconfig FILE`',
    );
  }
  if (policies !== undefined) return openFiles(flags, policies, host);
  throw new GateError(
    'USAGE',
    'there are no policies: name a directory with `--policies`, or a cluster with `--kubeconfig`',
  );
}

function parseBeforeSync(text: string): BeforeSync {
  const answer = beforeSyncs.find((one) => one === text);
  if (answer !== undefined) return answer;
  throw new GateError('USAGE', `\`--before-sync ${text}\` must be one of ${beforeSyncs.join(', ')}`);
}

/** The certificates of callers that are asked for, if any. @throws USAGE, FILE_UNREADABLE, TLS_UNUSABLE */
async function readCallers({ clientCa, clientName = [] }: ServeFlags): Promise<Callers | undefined> {
  if (clientCa === undefined && clientName.length === 0) return undefined;
  if (clientCa === undefined) {
    throw new GateError('USAGE', '`--client-name` needs `--client-ca`, the authority of these certificates');
  }
  if (clientName.length === 0 || clientName.includes('')) {
    throw new GateError(
      'USAGE',
      '`--client-ca` needs `--client-name`: an authority signs for many, and only the API server may call',
    );
  }
  return { file: clientCa, names: clientName, authorities: await readClientAuthorities(clientCa) };
}

/** Calls with each SIGTERM or SIGINT. Never stops listening: a signal that nobody listens to ends the process. */
function onStopSignals(listener: (signal: string, count: number) => void): void {
  let count = 0;
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      count += 1;
      listener(signal, count);
    });
  }
}
