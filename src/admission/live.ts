/** What hooks ask the cluster besides what a request says. There is none where `serve` runs with files alone. */

import type { Cluster } from '../kubernetes/client.ts';
import { type Mode, modeLabel, modes } from '../kubernetes/names.ts';

export interface Live {
  /** As last heard; `undefined` when the namespace has not opted in, or nothing was heard of it. */
  modeOf(namespace: string): Mode | undefined;
  /** Asks the API server; what cannot be asked is as last heard. Never rejects. */
  askMode(namespace: string): Promise<Mode | undefined>;
  /** `undefined`: there is no such pod. @throws KUBERNETES_REFUSED @throws KUBERNETES_UNREACHABLE */
  pod(namespace: string, name: string): Promise<unknown>;
  /** The pods of a namespace that have not ended for good, page by page. @throws as `pod` */
  podPages(namespace: string): AsyncIterable<{ readonly items: readonly unknown[] }>;
}

/** What is known of namespaces by a watch. */
export interface WatchedModes {
  get(namespace: string): { readonly mode: Mode | undefined } | undefined;
}

/** A request waits for this, so it is much shorter than any `timeoutSeconds` of a webhook. */
const deadlineMs = 1_000;

/** No policy has anything to decide about the others. */
const unfinished = 'status.phase!=Succeeded,status.phase!=Failed';

export function liveOf(cluster: Cluster, watched: WatchedModes): Live {
  const asked = new Map<string, Promise<Mode | undefined>>();
  const modeOf = (namespace: string) => watched.get(namespace)?.mode;
  async function ask(name: string): Promise<Mode | undefined> {
    try {
      const { labels = {} } = (await cluster.get('namespaces', { name }, deadlineMs)).metadata;
      return modes.find((mode) => mode === labels[modeLabel]);
    } catch {
      // Whether it is away or slow: what was heard last is what everything else goes by as well.
      return modeOf(name);
    }
  }
  return {
    modeOf,
    askMode(namespace) {
      const answer = asked.get(namespace) ?? ask(namespace).finally(() => asked.delete(namespace));
      asked.set(namespace, answer);
      return answer;
    },
    pod: (namespace, name) => cluster.find('pods', { name, namespace }, deadlineMs),
    podPages: (namespace) => cluster.pages('pods', { namespace, fieldSelector: unfinished, deadlineMs }),
  };
}
