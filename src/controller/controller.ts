/**
 * What the elected replica does for pods and policies: annotations, counts, status, reports. Certificates are apart, since
 * they must go on where nothing of this can.
 *
 * Owns the watch of all pods for one term. Namespaces and policies are watched by every replica. When the term is over
 * nothing is written any more, and the next leader finds all it needs in the cluster.
 */

import { reportFailure } from '../failures.ts';
import type { Cluster } from '../kubernetes/client.ts';
import type { EventWriter } from '../kubernetes/eventWriter.ts';
import type { NamespaceModes } from '../kubernetes/namespaceModes.ts';
import { makePace } from '../kubernetes/pace.ts';
import type { ClusterPolicy } from '../kubernetes/policies.ts';
import type { PolicySource } from '../kubernetes/policySource.ts';
import { watch } from '../kubernetes/watches.ts';
import { log } from '../log.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import { type KnownPod, knownPod } from './knownPods.ts';
import { openMender } from './mender.ts';
import { openReports } from './reports.ts';
import { openStatusWriter } from './statusWriter.ts';
import { makeTally } from './tally.ts';
import type { Place } from './wanted.ts';

export interface ControllerOptions {
  readonly policies: PolicySource;
  readonly namespaces: NamespaceModes;
  readonly events: EventWriter;
  readonly place: Place;
  /** Aborted when this replica no longer leads. */
  readonly term: AbortSignal;
  /** Patches of pods per second at most (default: 700). */
  readonly patchesPerSecond?: number;
}

/** A burst of edits of policies makes one look at the pods. */
const settleMs = 250;

/** Works until the term is over, and resolves then. Never rejects: what cannot be done now is tried again. */
export async function runController(cluster: Cluster, options: ControllerOptions): Promise<void> {
  const { policies, namespaces, events, place, term, patchesPerSecond = 700 } = options;
  const isReady = await Promise.all([policies.ready, namespaces.ready]);
  if (term.aborted || isReady.includes(false)) return;

  let byId = new Map<string, CompiledPolicy>();
  const tally = makeTally((ids, namespace) => {
    statuses.countsChanged(ids);
    reports.changed([namespace]);
  });
  const statuses = openStatusWriter({
    cluster,
    policyOf: policies.object,
    isTaken: policies.hasFile,
    tally,
    term,
  });
  const reports = openReports({
    cluster,
    namespaces,
    policyOf: (id) => byId.get(id),
    tally,
    ownNamespace: place.ownNamespace,
    term,
  });
  const pods = watch(cluster, 'pods', {
    project: knownPod,
    onChange: (changes) => mender.mark(changes.map(({ object }) => object)),
  });
  const mender = openMender({
    cluster,
    podOf: pods.get,
    namespaces,
    generation: policies.current,
    place,
    pace: makePace(patchesPerSecond),
    tally,
    onMissed: (pod) => events.tell(missed(pod)),
    term,
  });

  let known = new Map<string, { readonly policy: ClusterPolicy; readonly isTaken: boolean }>();
  let generation = -1;
  function lookAtPolicies(): void {
    const before = known;
    known = new Map(
      policies.objects().map((policy) => [policy.id, { policy, isTaken: policies.hasFile(policy.id) }]),
    );
    const changed = [...known].filter(([id, now]) => {
      const then = before.get(id);
      return then?.policy !== now.policy || then.isTaken !== now.isTaken;
    });
    statuses.policiesChanged(changed.map(([id]) => id));
    if (policies.current().number === generation) return;
    generation = policies.current().number;
    byId = new Map(policies.current().policies.map((policy) => [policy.id, policy]));
    mender.mark(pods.list());
    reports.changed(namespaces.list().map(({ name }) => name));
  }

  let timer: NodeJS.Timeout | undefined;
  const stops = [
    policies.subscribe(() => {
      timer ??= setTimeout(() => {
        timer = undefined;
        guarded(lookAtPolicies);
      }, settleMs).unref();
    }),
    namespaces.subscribe((names) => {
      const changed = new Set(names);
      mender.mark(pods.list().filter(({ namespace }) => changed.has(namespace)));
      reports.changed(names);
    }),
  ];
  guarded(lookAtPolicies);
  log.info({ patchesPerSecond }, 'keeping annotations, status and reports');

  await ended(term);
  clearTimeout(timer);
  for (const stop of stops) stop();
  await pods.close();
}

function missed({ name, namespace, uid }: KnownPod): Parameters<EventWriter['tell']>[0] {
  return {
    regarding: { apiVersion: 'v1', kind: 'Pod', name, namespace, uid },
    reason: 'AdmissionMissed',
    action: 'Mend',
    note: 'created while no webhook of d4c-gate was asked about it; its annotations are written now',
  };
}

function guarded(look: () => void): void {
  try {
    look();
  } catch (error) {
    reportFailure('watch_handler_failed', { kind: 'containerpolicies', err: error });
  }
}

function ended(term: AbortSignal): Promise<void> {
  if (term.aborted) return Promise.resolve();
  return new Promise((resolve) => term.addEventListener('abort', () => resolve(), { once: true }));
}
