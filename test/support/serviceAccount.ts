/** A kubeconfig of a service account that may do everything, as d4c-gate has in a cluster where nobody restricts it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestCluster } from './cluster.ts';
import { eventually } from './programs.ts';

export interface ServiceAccount {
  readonly kubeconfig: string;
  /** Removes the file; what is in the cluster ends with it. */
  remove(): void;
}

/** Makes the namespace, the account `d4c-gate` in it, and its binding to `cluster-admin`. */
export async function makeServiceAccount(cluster: TestCluster, namespace: string): Promise<ServiceAccount> {
  const account = `${namespace}:d4c-gate`;
  const must = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await cluster.kubectl(args);
    if (exitCode !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  await cluster.client.apply('namespaces', { metadata: { name: namespace } });
  await must('create', 'serviceaccount', 'd4c-gate', '-n', namespace);
  const binding = `clusterrolebinding/${namespace}`.split('/');
  await must('create', ...binding, '--clusterrole=cluster-admin', `--serviceaccount=${account}`);
  const config = JSON.parse(await must('config', 'view', '--raw', '--minify', '-o', 'json'));
  config.users[0].user = { token: (await must('create', 'token', 'd4c-gate', '-n', namespace)).trim() };
  const folder = mkdtempSync(join(tmpdir(), 'd4c-account-'));
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  await eventually(
    'the account may do what it has to',
    async () =>
      (await cluster.kubectl(['auth', 'can-i', 'patch', 'pods', `--as=system:serviceaccount:${account}`]))
        .exitCode === 0,
    20_000,
  );
  return { kubeconfig, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
