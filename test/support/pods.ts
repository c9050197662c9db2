/** Pods in namespaces that were made a moment ago. */

import { type Cluster, hasStatus, type WriteOptions } from '../../src/kubernetes/client.ts';
import type { Pod } from '../../src/kubernetes/kinds.ts';
import { eventually } from './programs.ts';

/** The controllers make a namespace's service account a moment after it, without which no pod is taken. */
export function createPodIn(client: Cluster, pod: Pod, options: WriteOptions = {}): Promise<Pod> {
  return eventually('the pod is created', async () => {
    try {
      return await client.create('pods', pod, options);
    } catch (error) {
      if (hasStatus(error, 403) && /serviceaccount/.test(error.message)) return undefined;
      throw error;
    }
  });
}
