/** What `serve` is told and what it serves from, wherever that comes from. */

import type { Admission } from '../admission/server.ts';
import type { CertificatePair } from '../certificates/pair.ts';

export interface ServeFlags {
  policies?: string;
  listen: string;
  tlsCert?: string;
  tlsKey?: string;
  devCerts?: boolean;
  certsDir: string;
  kubeconfig?: string;
  webhookUrl?: string;
  install?: boolean;
  certificates: string;
  secret: string;
  namespace?: string;
  excludeNamespace?: string[];
  clusterName?: string;
  clusterId?: string;
  lenient?: boolean;
  beforeSync: string;
  maxInFlight: string;
  clientCa?: string;
  clientName?: string[];
  drainMs: string;
}

/** Policies and certificates, from files or from a cluster. */
export interface ServeInputs {
  readonly admission: Omit<Admission, 'isReady' | 'beforeSync' | 'callers' | 'limits'>;
  /**
   * The first certificate, as soon as there is one; `use` is called with each further one.
   * @throws TLS_UNUSABLE, FILE_UNREADABLE
   */
  certificate(use: (pair: CertificatePair) => void): Promise<CertificatePair>;
  /** Ends the following. */
  close(): Promise<void>;
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
