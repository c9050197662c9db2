/**
 * One generation after another from both places that hold policies: the cluster's ContainerPolicies and, where one is
 * given, a directory.
 *
 *   watchPolicies + watchDirectory -> compile what is new -> index -> publish
 *
 * Ten thousand policies are compiled and indexed a few milliseconds at a time; what changes meanwhile makes the next one.
 *
 * A policy ID belongs to the file that makes it: an object of the same name is not used, and counts as refused. Files
 * come with the installation and cannot be changed by an author of objects, so no object can put itself in their place.
 */

import { reportFailure } from '../failures.ts';
import { log } from '../log.ts';
import { type CompiledPolicy, compile } from '../policy/compile.ts';
import { indexInSteps, indexPolicies } from '../policy/policyIndex.ts';
import type { Policy } from '../policy/types.ts';
import { type Generation, type WatchedDirectory, watchDirectory } from '../sources/directory.ts';
import { pacer, runInSlices } from '../sources/slices.ts';
import type { Cluster } from './client.ts';
import { type ClusterPolicy, watchPolicies } from './policies.ts';

export interface PolicySourceOptions {
  /** Policies besides those of the cluster. */
  readonly directory?: string;
  /** Default: strict. */
  readonly mode?: 'strict' | 'lenient';
  readonly clusterName?: string;
  /** Called for each generation that differs from the one before; the first one has number 1. */
  readonly onGeneration?: (generation: Generation) => void;
  /** Called after every change with how many files and objects are not used as they are now. */
  readonly onRefused?: (count: number) => void;
}

export interface PolicySource {
  /** Number 0, without policies, until both places have been read. */
  current(): Generation;
  /** `true` once the first generation is published; `false` when the source was closed before. Never rejects. */
  readonly ready: Promise<boolean>;
  /** Whether a file makes this ID, so that no object can have it. */
  hasFile(id: string): boolean;
  /** The ContainerPolicies as they are, those that are not used as well; sorted by ID. */
  objects(): ClusterPolicy[];
  object(id: string): ClusterPolicy | undefined;
  /** Calls after every change of either place. Gives the function that ends it. */
  subscribe(listener: () => void): () => void;
  /** Looks at both places now; resolves when their state is published or refused. Never rejects. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Reads the directory at once, the cluster as soon as it answers.
 * @throws FILE_UNREADABLE @throws POLICIES_INVALID as `watchDirectory` does
 */
export async function followPolicies(
  cluster: Cluster,
  options: PolicySourceOptions = {},
): Promise<PolicySource> {
  const { directory: path, mode, clusterName } = options;
  const language = { ...(mode && { mode }), ...(clusterName !== undefined && { clusterName }) };
  const compiled = new WeakMap<Policy, CompiledPolicy>();
  let generation: Generation = { number: 0, policies: [], index: indexPolicies([]) };
  let synced = false;
  let refusedFiles = 0;
  let clashing = new Set<string>();
  let combining = Promise.resolve();
  let isCombining = false;
  let hasChanged = false;
  let closed = false;
  const listeners = new Set<() => void>();

  const directory: WatchedDirectory | undefined =
    path === undefined
      ? undefined
      : await watchDirectory(path, {
          ...language,
          onGeneration: () => {
            refusedFiles = 0;
            void combine();
          },
          onRefused: (faults) => {
            refusedFiles = new Set(faults.map(({ file }) => file)).size;
            void combine();
          },
        });
  const objects = watchPolicies(cluster, { ...language, onChange: () => void combine() });

  const hasFile = (id: string) => directory?.current().policies.some((policy) => policy.id === id) ?? false;

  /** A version of a policy is compiled once, however often something else changes. */
  function compiledOf(id: string, policy: Policy): CompiledPolicy {
    const known = compiled.get(policy);
    if (known !== undefined) return known;
    const made = compile(id, policy);
    compiled.set(policy, made);
    return made;
  }

  /** Resolves when what is known now has been published. Never rejects. */
  function combine(): Promise<void> {
    hasChanged = true;
    if (!isCombining) combining = combineUntilStill();
    return combining;
  }

  async function combineUntilStill(): Promise<void> {
    isCombining = true;
    while (hasChanged && synced && !closed) {
      hasChanged = false;
      try {
        await combineOnce();
      } catch (error) {
        reportFailure('watch_handler_failed', { kind: 'containerpolicies', err: error });
      }
    }
    isCombining = false;
  }

  async function combineOnce(): Promise<void> {
    const pause = pacer();
    const policies = [...(directory?.current().policies ?? [])];
    const fileIds = new Set(policies.map(({ id }) => id));
    const all = objects.list();
    await pause();
    reportClashes(all.filter(({ id }) => fileIds.has(id)));
    for (const { id, good } of all) {
      if (good === undefined || fileIds.has(id)) continue;
      policies.push(compiledOf(id, good.policy));
      await pause();
    }
    if (generation.number === 0 || !areSame(policies, generation.policies)) {
      const index = await runInSlices(indexInSteps(policies, generation.index));
      if (closed) return;
      generation = { number: generation.number + 1, policies, index };
      log.info({ generation: generation.number, policies: policies.length }, 'policies published');
      options.onGeneration?.(generation);
    }
    const refused = all.filter(
      ({ id, faults }) => fileIds.has(id) || faults.some(({ severity }) => severity === 'error'),
    );
    options.onRefused?.(refused.length + refusedFiles);
    for (const listener of listeners) listener();
  }

  /** Each once, for as long as it lasts. */
  function reportClashes(clashes: readonly ClusterPolicy[]): void {
    for (const { id } of clashes) {
      if (clashing.has(id)) continue;
      const reasons = [
        `the policy ID \`${id}\` is already taken by a file; rename the ContainerPolicy (POLICY_ID_DUPLICATE)`,
      ];
      reportFailure('policy_reload_refused', { policy: id, reasons });
    }
    clashing = new Set(clashes.map(({ id }) => id));
  }

  return {
    current: () => generation,
    ready: objects.ready.then(async (isReady) => {
      synced = isReady;
      await combine();
      return isReady;
    }),
    hasFile,
    objects: objects.list,
    object: objects.get,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async refresh() {
      await Promise.all([directory?.refresh(), objects.refresh()]);
      await combining;
    },
    async close() {
      closed = true;
      directory?.close();
      await objects.close();
      await combining;
    },
  };
}

function areSame(some: readonly CompiledPolicy[], others: readonly CompiledPolicy[]): boolean {
  return some.length === others.length && some.every((policy, index) => policy === others[index]);
}
