/** Puts into a cluster what d4c-gate needs there. Doing it again changes nothing; a later version brings it up to date. */

import { GateError } from '../errors.ts';
import { type Cluster, hasStatus } from './client.ts';
import { containerPolicyDefinition, definitionName } from './crd.ts';
import { ownLabels } from './names.ts';
import { mutatingConfiguration, validatingConfiguration, type WebhookOptions } from './webhooks.ts';

const establishMs = 20_000;
const pollMs = 200;

/**
 * The custom resource, then the namespace where Leases and Secrets go, then the webhook configurations: from here on
 * the API server asks. Fields are owned by server-side apply under the manager `d4c-gate`. Whoever installs also mends;
 * where that is a service account, it is not asked about its patches, as with the chart.
 *
 * @throws KUBERNETES_REFUSED, KUBERNETES_UNREACHABLE, USAGE for a URL that cannot be used
 */
export async function install(
  cluster: Cluster,
  settings: Omit<WebhookOptions, 'controllerUser'>,
): Promise<void> {
  const user = await ownUser(cluster);
  // Never for a person, whose own pods are to be asked about.
  const isServiceAccount = user !== undefined && /^system:serviceaccount:[\w.-]+:[\w.-]+$/.test(user);
  const options = { ...settings, ...(isServiceAccount && { controllerUser: user }) };
  const configurations = [mutatingConfiguration(options), validatingConfiguration(options)] as const;
  await installDefinition(cluster);
  await makeNamespace(cluster, options.ownNamespace);
  await cluster.apply('mutatingwebhookconfigurations', configurations[0]);
  await cluster.apply('validatingwebhookconfigurations', configurations[1]);
}

/** The name by which the API server knows us; `undefined` where it does not say (before Kubernetes 1.28). */
async function ownUser(cluster: Cluster): Promise<string | undefined> {
  try {
    const { status } = await cluster.create('selfsubjectreviews', { metadata: {} });
    return status?.userInfo?.username;
  } catch (error) {
    if (hasStatus(error, 404) || hasStatus(error, 403)) return undefined;
    throw error;
  }
}

/** Applies the custom resource and waits until the API server serves it. */
export async function installDefinition(cluster: Cluster): Promise<void> {
  const definition = containerPolicyDefinition();
  const labels = { ...definition.metadata.labels, ...ownLabels };
  await cluster.apply('customresourcedefinitions', {
    ...definition,
    metadata: { ...definition.metadata, labels },
  });
  const end = performance.now() + establishMs;
  for (;;) {
    const { status } = await cluster.get('customresourcedefinitions', { name: definitionName });
    const established = status?.conditions?.find(({ type }) => type === 'Established');
    if (established?.status === 'True') return;
    if (performance.now() > end) {
      throw new GateError(
        'KUBERNETES_UNREACHABLE',
        `the API server does not serve \`${definitionName}\` ${establishMs / 1000} s after it was applied; its conditions say why`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** A namespace that is there already is left as it is, also by `uninstall`. */
async function makeNamespace(cluster: Cluster, name: string): Promise<void> {
  try {
    await cluster.create('namespaces', { metadata: { name, labels: { ...ownLabels } } });
  } catch (error) {
    if (!hasStatus(error, 409)) throw error;
  }
}
