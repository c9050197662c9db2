/** `serve` without a cluster: policies from a directory, the certificate from two files. */

import { ensureDevCertificates } from '../admission/devCertificates.ts';
import { rememberGenerations } from '../admission/generations.ts';
import { policiesGauge } from '../admission/metrics.ts';
import { followTlsFiles, readTlsFiles, type TlsFiles } from '../admission/tlsFiles.ts';
import { keepServed } from '../certificates/served.ts';
import { GateError } from '../errors.ts';
import { type Generation, watchDirectory } from '../sources/directory.ts';
import { type ServeFlags, type ServeInputs, say } from './serveInputs.ts';

/**
 * @param host where the webhook listens, for the certificate of `--dev-certs`
 * @throws USAGE, FILE_UNREADABLE, POLICIES_INVALID
 */
export async function openFiles(flags: ServeFlags, directory: string, host: string): Promise<ServeInputs> {
  const { clusterName, clusterId, lenient, namespace: ownNamespace } = flags;
  const mode = lenient ? 'lenient' : 'strict';
  const policies = await watchDirectory(directory, {
    mode,
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
  let tls: ReturnType<typeof followTlsFiles> | undefined;
  return {
    admission: {
      generations,
      cluster: { clusterId, clusterName },
      authoring: { mode, clusterName },
      ...(ownNamespace !== undefined && { ownNamespace }),
    },
    async certificate(use) {
      const files = await tlsFilesOf(flags, host);
      const pair = await readTlsFiles(files);
      tls = followTlsFiles(files, keepServed(use, pair));
      return pair;
    },
    async close() {
      policies.close();
      tls?.close();
    },
  };
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
