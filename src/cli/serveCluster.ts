/**
 * `serve` with a cluster: policies from its ContainerPolicies (and a directory), the certificate from its Secret.
 *
 * Owns the connection to the API server, the watches, and this replica's candidacy for the Lease. None of them waits for
 * another: the leader makes the certificate without which nobody listens.
 */

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { denialOf } from '../admission/denial.ts';
import { rememberGenerations } from '../admission/generations.ts';
import { liveOf } from '../admission/live.ts';
import { policiesGauge } from '../admission/metrics.ts';
import { rememberOptIns } from '../admission/optIns.ts';
import { environment } from '../config.ts';
import { type CertificateMode, certificateModes, followSecret } from '../controller/certificateFollower.ts';
import { certificateObjects } from '../controller/certificateObjects.ts';
import { keepCertificates } from '../controller/certificates.ts';
import { runController } from '../controller/controller.ts';
import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';
import { type Cluster, KubernetesError, openCluster } from '../kubernetes/client.ts';
import { openEventWriter } from '../kubernetes/eventWriter.ts';
import { install } from '../kubernetes/install.ts';
import { elect } from '../kubernetes/lease.ts';
import { defaultNamespace } from '../kubernetes/names.ts';
import { watchNamespaceModes } from '../kubernetes/namespaceModes.ts';
import { followPolicies } from '../kubernetes/policySource.ts';
import { configurationName } from '../kubernetes/webhooks.ts';
import { log } from '../log.ts';
import type { ServeFlags, ServeInputs } from './serveInputs.ts';

/** As the chart names the Service and the Lease; its roles allow no other. */
const serviceName = 'd4c-gate-webhook';
const leaseName = 'd4c-gate';

const askAgainMs = 1_000;

/**
 * @param ended aborts what waits for the cluster
 * @throws USAGE, FILE_UNREADABLE, POLICIES_INVALID, KUBERNETES_CONFIG, KUBERNETES_REFUSED; KUBERNETES_UNREACHABLE
 *   only from `--install`, since otherwise it waits for the API server
 */
export async function openInputsOfCluster(flags: ServeFlags, ended: AbortSignal): Promise<ServeInputs> {
  const certificateMode = parseCertificateMode(flags.certificates);
  const webhookUrl = parseWebhookUrl(flags);
  const { kubeconfig, clusterName, lenient, excludeNamespace: excluded = [] } = flags;
  const cluster = await openCluster(kubeconfig === undefined ? {} : { kubeconfig });
  const ownNamespace = kubeconfig === undefined ? cluster.namespace : undefined;
  const namespace = flags.namespace ?? ownNamespace ?? defaultNamespace;
  if (flags.install && webhookUrl !== undefined) {
    await install(cluster, {
      endpoint: { url: webhookUrl.href },
      ownNamespace: namespace,
      excludedNamespaces: excluded,
    });
    log.info({ server: cluster.server, url: webhookUrl.href }, 'installed');
  }
  const clusterId = flags.clusterId ?? (await readClusterId(cluster, ended));

  const mode = lenient ? 'lenient' : 'strict';
  const policies = await followPolicies(cluster, {
    mode,
    ...(flags.policies !== undefined && { directory: flags.policies }),
    ...(clusterName !== undefined && { clusterName }),
    onGeneration(generation) {
      generations.publish(generation);
      policiesGauge.set({ state: 'published' }, generation.policies.length);
    },
    onRefused: (count) => policiesGauge.set({ state: 'refused' }, count),
  });
  const generations = rememberGenerations(policies.current(), policies.refresh);

  const namespaces = watchNamespaceModes(cluster, { excluded });
  const instance = environment.podName ?? hostname();
  const events = openEventWriter(cluster, { instance });
  const place = { clusterId, clusterName, ownNamespace: namespace };
  const secret = { name: flags.secret, namespace };
  const host = webhookUrl?.hostname.replace(/^\[|\]$/g, '') ?? `${serviceName}.${namespace}.svc`;
  const election = elect(cluster, {
    namespace,
    name: leaseName,
    identity: `${instance}-${randomBytes(4).toString('hex')}`,
    onGained: (term) => {
      if (certificateMode === 'self') keepOwnCertificates(cluster, secret, [host], term);
      void runController(cluster, { policies, namespaces, events, place, term });
    },
  });

  return {
    admission: {
      generations,
      justOptedIn: rememberOptIns(namespaces),
      cluster: { clusterId, clusterName },
      authoring: { mode, clusterName, isTaken: policies.hasFile },
      onDenied(review, message, isObserved) {
        const telling = denialOf(review, message, isObserved);
        if (telling !== undefined) events.tell(telling);
      },
      live: liveOf(cluster, namespaces),
      ownNamespace: namespace,
    },
    certificate: (use) =>
      followSecret(cluster, { mode: certificateMode, ...secret, onPair: use, signal: ended }),
    async close() {
      await Promise.all([election.close(), policies.close(), namespaces.close(), events.close()]);
      cluster.close();
    },
  };
}

function keepOwnCertificates(
  cluster: Cluster,
  secret: { readonly name: string; readonly namespace: string },
  hosts: readonly string[],
  term: AbortSignal,
): void {
  const objects = certificateObjects(cluster, secret, [
    { kind: 'mutatingwebhookconfigurations', name: configurationName },
    { kind: 'validatingwebhookconfigurations', name: configurationName },
  ]);
  keepCertificates(objects, { hosts, term });
}

/** Kubernetes has no ID of a cluster; the UID of this namespace stands for it everywhere. */
async function readClusterId(cluster: Cluster, ended: AbortSignal): Promise<string | undefined> {
  for (;;) {
    try {
      return (await cluster.get('namespaces', { name: 'kube-system' })).metadata.uid;
    } catch (error) {
      const isOver = error instanceof KubernetesError && [0, 429, 500, 503, 504].includes(error.status);
      if (!isOver) throw error;
      reportFailure('watch_interrupted', { kind: 'namespaces', reason: error.message });
      await sleep(askAgainMs, undefined, { signal: ended });
    }
  }
}

function parseCertificateMode(text: string): CertificateMode {
  const mode = certificateModes.find((one) => one === text);
  if (mode !== undefined) return mode;
  throw new GateError('USAGE', `\`--certificates ${text}\` must be one of ${certificateModes.join(', ')}`);
}

/** Whether an API server accepts it is said by `install`. */
function parseWebhookUrl({ webhookUrl, install: isInstalling }: ServeFlags): URL | undefined {
  if (webhookUrl === undefined) {
    if (isInstalling) {
      throw new GateError(
        'USAGE',
        '`--install` needs `--webhook-url`, where the API server finds this webhook',
      );
    }
    return undefined;
  }
  const url = URL.parse(webhookUrl);
  if (url !== null && url.protocol === 'https:') return url;
  throw new GateError('USAGE', `\`--webhook-url ${webhookUrl}\` must be https://HOST[:PORT][/PATH]`);
}
