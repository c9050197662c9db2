/**
 * Where the API server is and how to prove who we are: from a kubeconfig file or from the pod's service account. Owns
 * the pool of TLS connections; made again every minute, so that rotated tokens and certificates are noticed.
 */

import { existsSync } from 'node:fs';
import type { KubeConfig, RequestContext } from '@kubernetes/client-node';
import { GateError } from '../errors.ts';
import { loadClient } from './clientParts.ts';
import { execCredential } from './exec-credential.ts';

/** What every request needs besides its own path and body. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: ReturnType<RequestContext['getDispatcher']>;
}

export interface Connection {
  /** For example `https://127.0.0.1:6443`, without a trailing slash. */
  readonly server: string;
  /** The namespace of the kubeconfig's context or of the pod; `undefined` where neither names one. */
  readonly namespace: string | undefined;
  /** @throws KUBERNETES_CONFIG when a file or an exec plugin that should give credentials does not. */
  credentials(): Promise<Credentials>;
  /** Makes the next request read credentials again: after a 401. */
  forgetCredentials(): void;
  /** Closes the connections once the requests on them have ended. */
  close(): void;
}

/** As long as client-go trusts a service account token before it reads the file again. */
const credentialsLastMs = 60_000;
const releaseAfterMs = 30_000;

const tokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** Whether this process runs in a pod that may talk to its API server. */
export function isInCluster(): boolean {
  return existsSync(tokenFile);
}

/**
 * Opens nothing yet.
 *
 * @param kubeconfig path of a kubeconfig file; without it the pod's service account is used
 * @throws KUBERNETES_CONFIG when there is neither, or the file names no server that can be used
 */
export async function connect(kubeconfig?: string): Promise<Connection> {
  const { HttpMethod, KubeConfig, RequestContext } = await loadClient();
  const config = load(new KubeConfig(), kubeconfig);
  const server = config.getCurrentCluster()?.server.replace(/\/+$/, '');
  if (server === undefined || !/^https?:\/\//.test(server)) {
    throw new GateError(
      'KUBERNETES_CONFIG',
      `${kubeconfig === undefined ? 'the service account' : `\`${kubeconfig}\``} names no server for its current context; set \`current-context\``,
    );
  }

  let current: { credentials: Promise<Credentials>; until: number } | undefined;
  let areRefused = false;
  const renew = async (previous: Promise<Credentials> | undefined): Promise<Credentials> => {
    const context = new RequestContext(server, HttpMethod.GET);
    try {
      await execCredential(config, areRefused);
      areRefused = false;
      await config.applySecurityAuthentication(context);
    } catch (error) {
      if (error instanceof GateError) throw error;
      throw new GateError('KUBERNETES_CONFIG', `cannot read credentials: ${textOf(error)}`, error);
    }
    // Later, since a request may have taken the old connections and not yet sent anything on them.
    setTimeout(release, releaseAfterMs, previous).unref();
    return { headers: context.getHeaders(), dispatcher: context.getDispatcher() };
  };
  return {
    server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace,
    credentials() {
      if (current === undefined || performance.now() > current.until) {
        const credentials = renew(current?.credentials);
        current = { credentials, until: performance.now() + credentialsLastMs };
        credentials.catch(() => {
          current = undefined;
        });
      }
      return current.credentials;
    },
    forgetCredentials() {
      areRefused = true;
      if (current !== undefined) current.until = 0;
    },
    close() {
      release(current?.credentials);
      current = undefined;
    },
  };
}

function load(config: KubeConfig, kubeconfig: string | undefined): KubeConfig {
  if (kubeconfig === undefined && !isInCluster()) {
    throw new GateError(
      'KUBERNETES_CONFIG',
      'not in a cluster: name a kubeconfig file with `--kubeconfig FILE`',
    );
  }
  try {
    if (kubeconfig === undefined) config.loadFromCluster();
    else config.loadFromFile(kubeconfig);
    return config;
  } catch (error) {
    throw new GateError(
      'KUBERNETES_CONFIG',
      `cannot load \`${kubeconfig ?? tokenFile}\`: ${textOf(error)}`,
      error,
    );
  }
}

/** Lets the requests and watches on these connections end, then closes them. */
function release(credentials: Promise<Credentials> | undefined): void {
  credentials
    ?.then(({ dispatcher }) => dispatcher?.close())
    // Nobody waits for connections that are no longer used.
    .catch(() => undefined);
}

function textOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ').trim();
}
