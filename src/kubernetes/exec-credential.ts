/**
 * Credentials from a kubeconfig's `exec` plugin, under a time limit and with nothing to read on standard input. The
 * client's own way waits for ever when a plugin prompts.
 */

import { execFile } from 'node:child_process';
import type { KubeConfig, User } from '@kubernetes/client-node';
import { childEnvironment } from '../config.ts';
import { GateError } from '../errors.ts';

const pluginLimitMs = 15_000;
const maxOutputBytes = 1024 * 1024;

/** What a plugin prints, of which only these fields matter (client.authentication.k8s.io/v1). */
interface ExecCredential {
  readonly status?: {
    readonly expirationTimestamp?: string;
    readonly token?: string;
    readonly clientCertificateData?: string;
    readonly clientKeyData?: string;
  };
}

interface Plugin {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
}

/** The plugin of each user, since the user in the config is replaced by one with the credentials it gave. */
const plugins = new WeakMap<KubeConfig, { readonly user: User; readonly plugin: Plugin; renewAt: number }>();

/**
 * Runs the plugin of the current user, when it has one and its last credentials have expired or were refused, and puts what it
 * prints into `config`.
 *
 * @param areRefused the API server has answered 401: a plugin need not know that a token was taken back, or when it ends
 * @throws KUBERNETES_CONFIG when the plugin fails, prints something else, or takes longer than 15 seconds
 */
export async function execCredential(config: KubeConfig, areRefused = false): Promise<void> {
  const user = config.getCurrentUser();
  const plugin: Plugin | undefined = user?.exec ?? undefined;
  if (user && plugin) plugins.set(config, { user, plugin, renewAt: 0 });
  const known = plugins.get(config);
  if (known === undefined || (Date.now() < known.renewAt && !areRefused)) return;
  const { status } = await runPlugin(known.plugin);
  if (status === undefined || (status.token === undefined && status.clientCertificateData === undefined)) {
    throw new GateError('KUBERNETES_CONFIG', `exec plugin \`${known.plugin.command}\` printed no credential`);
  }
  const expires = Date.parse(status.expirationTimestamp ?? '');
  known.renewAt = Number.isNaN(expires) ? Number.POSITIVE_INFINITY : expires - 60_000;
  const { exec: _, ...rest } = known.user;
  const encode = (text: string | undefined) => text && Buffer.from(text).toString('base64');
  const credentials: User = {
    ...rest,
    token: status.token,
    certData: encode(status.clientCertificateData) ?? rest.certData,
    keyData: encode(status.clientKeyData) ?? rest.keyData,
  };
  config.users = config.users.map((other) => (other.name === known.user.name ? credentials : other));
}

function runPlugin(plugin: Plugin): Promise<ExecCredential> {
  const { apiVersion = 'client.authentication.k8s.io/v1', command = '', args = [], env = [] } = plugin;
  const execInfo = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: { interactive: false } });
  const options = {
    env: childEnvironment({
      ...Object.fromEntries(env.map(({ name, value }) => [name, value])),
      KUBERNETES_EXEC_INFO: execInfo,
    }),
    timeout: pluginLimitMs,
    killSignal: 'SIGKILL',
    maxBuffer: maxOutputBytes,
  } as const;
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown) =>
      reject(new GateError('KUBERNETES_CONFIG', `exec plugin \`${command}\` ${what}`, cause));
    const child = execFile(command, [...args], options, (error, stdout, stderr) => {
      if (error?.killed === true) return fail(`gave no credential within ${pluginLimitMs / 1000} s`, error);
      if (error !== null) return fail(`failed: ${(stderr || error.message).trim().split('\n')[0]}`, error);
      try {
        resolve(JSON.parse(stdout));
      } catch (cause) {
        fail('printed something that is not JSON', cause);
      }
    });
    child.stdin?.end();
  });
}
