/**
 * The API server as small typed functions. Every call has a deadline and throws `KubernetesError` with the status;
 * nothing here tries again: the caller knows whether that is right.
 */

import { connect } from './connection.ts';
import type { Kind, ObjectOf } from './kinds.ts';
import { collectionOf, groupPath, nameOf, type ObjectName, pathOf, typed } from './paths.ts';
import { hasStatus, type LineLimits, makeTransport, type Transport } from './transport.ts';

export type { ObjectName } from './paths.ts';
export { hasStatus, KubernetesError } from './transport.ts';

export interface ListOptions {
  /** Absent: the whole cluster. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Objects in one page (default: 500). */
  readonly pageSize?: number;
  readonly deadlineMs?: number;
}

export interface WriteOptions {
  /** The part of the object that is written (default: the object itself). */
  readonly subresource?: 'status';
  /** Who owns the fields that are written (default: `d4c-gate`). */
  readonly fieldManager?: string;
  readonly dryRun?: boolean;
  /** Of a patch: the answer has the object's metadata and nothing else, which costs the API server and us less. */
  readonly metadataOnly?: boolean;
  readonly deadlineMs?: number;
}

export interface ApplyOptions extends WriteOptions {
  /** Takes fields that another manager owns, instead of failing with 409 (default: true, as controllers do). */
  readonly force?: boolean;
}

export interface DeleteOptions {
  /** Deletes only this very object, not a later one of the same name; otherwise 409. */
  readonly uid?: string;
  readonly deadlineMs?: number;
}

/** What may be put into a JSON Patch (RFC 6902). */
export type PatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/** @throws KUBERNETES_REFUSED, KUBERNETES_UNREACHABLE, KUBERNETES_CONFIG from every function */
export interface Cluster {
  /** For example `https://127.0.0.1:6443`. */
  readonly server: string;
  /** The namespace of the pod or of the kubeconfig's context, if any. */
  readonly namespace: string | undefined;
  get<K extends Kind>(kind: K, object: ObjectName, deadlineMs?: number): Promise<ObjectOf[K]>;
  /** As `get`, but `undefined` where the answer is 404. */
  find<K extends Kind>(kind: K, object: ObjectName, deadlineMs?: number): Promise<ObjectOf[K] | undefined>;
  /** All pages. @throws KUBERNETES_REFUSED with status 410 when the list took longer than etcd keeps history */
  list<K extends Kind>(kind: K, options?: ListOptions): Promise<ObjectOf[K][]>;
  /** Page by page, so that a caller can keep little of each; with the resourceVersion of the whole list. */
  pages<K extends Kind>(
    kind: K,
    options?: ListOptions,
  ): AsyncGenerator<{ items: ObjectOf[K][]; resourceVersion: string }>;
  create<K extends Kind>(kind: K, object: ObjectOf[K], options?: WriteOptions): Promise<ObjectOf[K]>;
  /** Writes the whole object; 409 when its resourceVersion is no longer the last. */
  replace<K extends Kind>(kind: K, object: ObjectOf[K], options?: WriteOptions): Promise<ObjectOf[K]>;
  /** JSON Merge Patch (RFC 7386): `null` removes a key, a list replaces a list. */
  mergePatch<K extends Kind>(
    kind: K,
    object: ObjectName,
    patch: unknown,
    options?: WriteOptions,
  ): Promise<ObjectOf[K]>;
  jsonPatch<K extends Kind>(
    kind: K,
    object: ObjectName,
    patch: readonly PatchOperation[],
    options?: WriteOptions,
  ): Promise<ObjectOf[K]>;
  /** Server-side apply: the field manager owns exactly the fields of `object`, and gives up those it no longer names. */
  apply<K extends Kind>(kind: K, object: Partial<ObjectOf[K]>, options?: ApplyOptions): Promise<ObjectOf[K]>;
  /** Whether there was something to delete. */
  delete(kind: Kind, object: ObjectName, options?: DeleteOptions): Promise<boolean>;
  /** Whether the API server has this group and version, such as `openreports.io/v1alpha1`. */
  serves(apiVersion: string): Promise<boolean>;
  /** The lines of a watch. For `watch`, which keeps one going. */
  watchLines(
    kind: Kind,
    query: Readonly<Record<string, string | undefined>>,
    options: LineLimits & { readonly namespace?: string },
  ): Promise<AsyncIterable<string>>;
  /** Closes the connections once the calls on them have ended. */
  close(): void;
}

/** Longer than any healthy API server takes, shorter than what an operator waits for. */
const defaultDeadlineMs = 10_000;
const defaultPageSize = 500;
const onlyMetadata = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

/**
 * @param options `kubeconfig`: path of a file; without it the pod's service account is used
 * @throws KUBERNETES_CONFIG
 */
export async function openCluster(options: { readonly kubeconfig?: string } = {}): Promise<Cluster> {
  const connection = await connect(options.kubeconfig);
  return makeCluster(connection.server, connection.namespace, await makeTransport(connection));
}

function makeCluster(server: string, namespace: string | undefined, transport: Transport): Cluster {
  // INVARIANT: paths come from the table of kinds, so what comes back is of the type that the table names.
  async function send<K extends Kind>(
    call: Parameters<Transport['send']>[0],
    deadlineMs = defaultDeadlineMs,
  ): Promise<ObjectOf[K]> {
    return (await transport.send(call, deadlineMs)) as ObjectOf[K];
  }
  const patch = <K extends Kind>(
    kind: K,
    object: ObjectName,
    contentType: string,
    body: unknown,
    options: ApplyOptions,
  ) =>
    send<K>(
      {
        method: 'PATCH',
        path: pathOf(kind, object, options.subresource),
        query: { ...writeQuery(options), force: options.force === true ? 'true' : undefined },
        body,
        contentType,
        accept: options.metadataOnly === true ? onlyMetadata : undefined,
      },
      options.deadlineMs,
    );

  const cluster: Cluster = {
    server,
    namespace,
    get: (kind, object, deadlineMs) => send({ method: 'GET', path: pathOf(kind, object) }, deadlineMs),
    async find(kind, object, deadlineMs) {
      try {
        return await cluster.get(kind, object, deadlineMs);
      } catch (error) {
        if (hasStatus(error, 404)) return undefined;
        throw error;
      }
    },
    async list(kind, options) {
      const items = [];
      for await (const page of cluster.pages(kind, options)) items.push(...page.items);
      return items;
    },
    async *pages(kind, options = {}) {
      const {
        labelSelector,
        fieldSelector,
        pageSize = defaultPageSize,
        deadlineMs = defaultDeadlineMs,
      } = options;
      const path = collectionOf(kind, options.namespace);
      let next: string | undefined;
      do {
        const query = { labelSelector, fieldSelector, limit: String(pageSize), continue: next };
        const { items, metadata } = (await transport.send({ method: 'GET', path, query }, deadlineMs)) as {
          items?: ObjectOf[typeof kind][];
          metadata: { resourceVersion: string; continue?: string };
        };
        yield { items: items ?? [], resourceVersion: metadata.resourceVersion };
        next = metadata.continue;
      } while (next);
    },
    create: (kind, object, options = {}) =>
      send(
        {
          method: 'POST',
          path: collectionOf(kind, object.metadata.namespace),
          query: writeQuery(options),
          body: typed(kind, object),
        },
        options.deadlineMs,
      ),
    replace: (kind, object, options = {}) =>
      send(
        {
          method: 'PUT',
          path: pathOf(kind, nameOf(object), options.subresource),
          query: writeQuery(options),
          body: typed(kind, object),
        },
        options.deadlineMs,
      ),
    mergePatch: (kind, object, body, options = {}) =>
      patch(kind, object, 'application/merge-patch+json', body, options),
    jsonPatch: (kind, object, body, options = {}) =>
      patch(kind, object, 'application/json-patch+json', body, options),
    apply: (kind, object, options = {}) =>
      patch(kind, nameOf(object), 'application/apply-patch+yaml', typed(kind, object), {
        force: true,
        ...options,
      }),
    async delete(kind, object, { uid, deadlineMs = defaultDeadlineMs } = {}) {
      const body = { propagationPolicy: 'Background', ...(uid !== undefined && { preconditions: { uid } }) };
      try {
        await transport.send({ method: 'DELETE', path: pathOf(kind, object), body }, deadlineMs);
        return true;
      } catch (error) {
        if (hasStatus(error, 404)) return false;
        throw error;
      }
    },
    async serves(apiVersion) {
      try {
        await transport.send({ method: 'GET', path: groupPath(apiVersion) }, defaultDeadlineMs);
        return true;
      } catch (error) {
        if (hasStatus(error, 404)) return false;
        throw error;
      }
    },
    watchLines: (kind, query, options) =>
      transport.lines(
        { method: 'GET', path: collectionOf(kind, options.namespace), query: { ...query, watch: 'true' } },
        options,
      ),
    close: () => transport.close(),
  };
  return cluster;
}

function writeQuery({
  fieldManager = 'd4c-gate',
  dryRun = false,
}: WriteOptions): Record<string, string | undefined> {
  return { fieldManager, dryRun: dryRun ? 'All' : undefined };
}
