/**
 * Takes out of a cluster all that d4c-gate put there, in the order in which nothing can get stuck: first what makes the
 * API server ask, then what it wrote on pods, then its objects.
 */

import { type Cluster, hasStatus, type ListOptions } from './client.ts';
import { definitionName } from './crd.ts';
import type { Kind, KubernetesObject, ObjectOf } from './kinds.ts';
import { ownSelector, podAnnotations } from './names.ts';
import { makePace } from './pace.ts';
import { nameOf } from './paths.ts';
import { isOurs } from './webhooks.ts';

export interface UninstallOptions {
  /** Leaves the policies and the custom resource (default: false). */
  readonly keepPolicies?: boolean;
  /** Called about every second while pods are cleaned, with how many have been. */
  readonly onProgress?: (what: string, done: number) => void;
}

/** What became of one kind of thing. */
export interface Removal {
  /** For people, such as `webhook configurations`. */
  readonly what: string;
  readonly removed: number;
  /** Why the rest was not, one line per object or list that failed; empty when all is gone. */
  readonly errors: readonly string[];
}

/** How many objects are written to at the same time. */
const concurrency = 8;
const goneMs = 30_000;
const patchesPerSecond = 300;
const attemptsPerPod = 5;
const progressMs = 1_000;

/** Goes on after errors, so that what can be removed is; `errors` say what is left. Never throws. */
export async function uninstall(cluster: Cluster, options: UninstallOptions = {}): Promise<Removal[]> {
  const own: ListOptions = { labelSelector: ownSelector };
  const removals = [
    await removal('webhook configurations', [
      () => removeAll(cluster, 'mutatingwebhookconfigurations', {}, isOurs),
      () => removeAll(cluster, 'validatingwebhookconfigurations', {}, isOurs),
    ]),
    await removal('pods with annotations of d4c-gate', [() => cleanPods(cluster, options)]),
    await removal('reports', [() => removeAll(cluster, 'reports', own)]),
  ];
  if (options.keepPolicies !== true) {
    removals.push(
      await removal('policies', [() => removeAll(cluster, 'containerpolicies')]),
      await removal('custom resource definitions', [() => removeDefinition(cluster)]),
    );
  }
  removals.push(
    await removal('leases', [() => removeAll(cluster, 'leases', own)]),
    await removal('secrets', [() => removeAll(cluster, 'secrets', own)]),
    await removal('events', [() => removeAll(cluster, 'events', own)]),
    await removal('namespaces', [() => removeNamespaces(cluster, own)]),
  );
  return removals;
}

async function removal(what: string, steps: (() => Promise<Outcome[]>)[]): Promise<Removal> {
  const outcomes: Outcome[] = [];
  for (const step of steps) outcomes.push(...(await step().catch((error: unknown) => [messageOf(error)])));
  return {
    what,
    removed: outcomes.filter((outcome) => outcome === true).length,
    errors: outcomes.filter((outcome) => typeof outcome === 'string'),
  };
}

/** Removed, already gone, or why not. */
type Outcome = boolean | string;

async function removeAll<K extends Kind>(
  cluster: Cluster,
  kind: K,
  selection: ListOptions = {},
  filter: (object: ObjectOf[K]) => boolean = () => true,
): Promise<Outcome[]> {
  const objects = (await listOrNone(cluster, kind, selection)).filter(filter);
  return forEach(objects, (object) =>
    cluster.delete(kind, nameOf(object), { uid: object.metadata.uid ?? '' }),
  );
}

/** Slowly enough that the API server has time for others. What is busy is waited for, at most a few times per pod. */
async function cleanPods(cluster: Cluster, { onProgress }: UninstallOptions): Promise<Outcome[]> {
  const pace = makePace(patchesPerSecond);
  let done = 0;
  let toldAt = performance.now();
  const annotations = Object.fromEntries(podAnnotations.map((key) => [key, null]));
  const outcomes: Outcome[] = [];
  for await (const { items } of cluster.pages('pods')) {
    const marked = items.filter(({ metadata }) =>
      podAnnotations.some((key) => key in (metadata.annotations ?? {})),
    );
    outcomes.push(
      ...(await forEach(marked, async ({ metadata: { name = '', namespace = '', uid } }) => {
        for (let attempt = 1; ; attempt += 1) {
          await pace.turn();
          try {
            await cluster.mergePatch('pods', { name, namespace }, { metadata: { uid, annotations } });
            break;
          } catch (error) {
            if (!hasStatus(error, 429) || attempt === attemptsPerPod) throw error;
            pace.hold(error.retryAfterMs ?? 1_000);
          }
        }
        done += 1;
        if (performance.now() - toldAt > progressMs) {
          toldAt = performance.now();
          onProgress?.('pods with annotations of d4c-gate', done);
        }
        return true;
      })),
    );
  }
  return outcomes;
}

/** The API server deletes the objects of a definition before the definition itself. */
async function removeDefinition(cluster: Cluster): Promise<Outcome[]> {
  const name = definitionName;
  if (!(await cluster.delete('customresourcedefinitions', { name }))) return [];
  return [await untilGone(cluster, 'customresourcedefinitions', name)];
}

/** Only those that `install` made. Empties them too, which takes a few seconds. */
async function removeNamespaces(cluster: Cluster, own: ListOptions): Promise<Outcome[]> {
  const namespaces = await cluster.list('namespaces', own);
  return forEach(namespaces, async ({ metadata: { name = '', uid = '' } }) => {
    await cluster.delete('namespaces', { name }, { uid });
    return untilGone(cluster, 'namespaces', name);
  });
}

/** Waits, so that whoever installs again at once does not meet what is being deleted. */
async function untilGone(cluster: Cluster, kind: Kind, name: string): Promise<Outcome> {
  const end = performance.now() + goneMs;
  while ((await cluster.find(kind, { name })) !== undefined) {
    if (performance.now() > end) return `\`${name}\` is still being deleted after ${goneMs / 1000} s`;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return true;
}

/** A kind that the cluster does not serve has no objects. */
async function listOrNone<K extends Kind>(
  cluster: Cluster,
  kind: K,
  selection: ListOptions,
): Promise<ObjectOf[K][]> {
  try {
    return await cluster.list(kind, selection);
  } catch (error) {
    if (hasStatus(error, 404)) return [];
    throw error;
  }
}

async function forEach<O extends KubernetesObject>(
  objects: readonly O[],
  remove: (object: O) => Promise<Outcome>,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const left = objects.values();
  const work = async () => {
    for (const object of left) {
      outcomes.push(
        await remove(object).catch((error: unknown) => (hasStatus(error, 404) ? false : messageOf(error))),
      );
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return outcomes;
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
