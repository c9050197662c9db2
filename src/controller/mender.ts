/**
 * Brings the annotations of existing pods to what the policies give, whatever the cause: a policy, a label, the mode of a
 * namespace, an ephemeral container, a name that was made, a webhook that was away when the pod was created.
 *
 *   pods, namespaces, policies -> marked pods -> judge, some milliseconds at a time -> queue -> patch
 *
 * Owns nothing but its marks: pods and namespaces belong to their watches. Every judgement is made from what is known
 * when it is made, and a patch names the version of the pod that it was made for, so a leader that no longer leads undoes
 * nothing. A pod that is right costs no request.
 */

import { setImmediate } from 'node:timers/promises';
import type { PolicyAnnotations } from '../admission/annotations.ts';
import { reportFailure } from '../failures.ts';
import { type Cluster, hasStatus } from '../kubernetes/client.ts';
import { podAnnotations, policiesKey, undecidedKey } from '../kubernetes/names.ts';
import type { NamespaceModes } from '../kubernetes/namespaceModes.ts';
import type { Pace } from '../kubernetes/pace.ts';
import type { Generation } from '../sources/directory.ts';
import { pacer } from '../sources/slices.ts';
import type { KnownPod } from './knownPods.ts';
import { failOpenPodsTotal, podPatchesTotal, unannotatedPods } from './podMetrics.ts';
import type { Tally } from './tally.ts';
import { hasAnnotations, type Place, wantedAnnotations, wasMissed } from './wanted.ts';
import { type Again, openQueue } from './workQueue.ts';

export interface MenderOptions {
  readonly cluster: Pick<Cluster, 'mergePatch'>;
  /** Of the watch. */
  readonly podOf: (name: string, namespace: string) => KnownPod | undefined;
  readonly namespaces: Pick<NamespaceModes, 'get'>;
  readonly generation: () => Generation;
  readonly place: Place;
  readonly pace: Pace;
  readonly tally: Tally;
  /** Called once for each pod that was created while the webhook was away. */
  readonly onMissed: (pod: KnownPod) => void;
  readonly term: AbortSignal;
}

export interface Mender {
  /** Something about these pods has changed, or they came or went. Cheap; repeated marks are one. */
  mark(pods: Iterable<Pick<KnownPod, 'key' | 'name' | 'namespace'>>): void;
  /** Pods that are to be judged, wait for a patch, or are being patched. */
  readonly size: number;
}

const workers = 16;

export function openMender(options: MenderOptions): Mender {
  const { cluster, podOf, namespaces, place, pace, tally, term } = options;
  const marked = new Map<string, Pick<KnownPod, 'key' | 'name' | 'namespace'>>();
  const wrong = new Map<string, Pick<KnownPod, 'name' | 'namespace'>>();
  /** UIDs of pods that were judged before; only the first look can tell how a pod was created. */
  const seen = new Map<string, string>();
  let isJudging = false;

  const queue = openQueue({ workers, pace, term, failure: 'pod_not_mended', work: mend });

  const wantedOf = (pod: KnownPod) =>
    wantedAnnotations(pod, namespaces.get(pod.namespace), options.generation(), place);

  function note(key: string, pod: KnownPod | undefined, wanted: PolicyAnnotations | undefined): void {
    const isWrong = pod !== undefined && wanted !== undefined && !hasAnnotations(pod, wanted);
    if (isWrong) wrong.set(key, pod);
    else wrong.delete(key);
    const applies = wanted?.[policiesKey];
    const share = pod !== undefined &&
      applies !== undefined && { namespace: pod.namespace, applies, undecided: wanted?.[undecidedKey] ?? '' };
    tally.set(key, share || undefined);
    if (isWrong) queue.add(key);
  }

  function judge(mark: Pick<KnownPod, 'key' | 'name' | 'namespace'>): void {
    const { key } = mark;
    const pod = podOf(mark.name, mark.namespace);
    if (pod === undefined) seen.delete(key);
    else if (seen.get(key) !== pod.uid) {
      const state = namespaces.get(pod.namespace);
      // Of a namespace that is not known yet, the next mark tells.
      if (state !== undefined) seen.set(key, pod.uid);
      if (wantedOf(pod) !== undefined && wasMissed(pod, state)) {
        failOpenPodsTotal.inc();
        options.onMissed(pod);
      }
    }
    note(key, pod, pod && wantedOf(pod));
  }

  async function judgeAll(): Promise<void> {
    // Never within the call that marks; joins marks that come together.
    await setImmediate();
    const pause = pacer();
    while (marked.size > 0 && !term.aborted) {
      for (const [key, mark] of marked) {
        marked.delete(key);
        try {
          judge(mark);
        } catch (error) {
          reportFailure('watch_handler_failed', { kind: 'pods', pod: key, err: error });
        }
        const paused = pause();
        if (paused === undefined) continue;
        unannotatedPods.set(wrong.size);
        await paused;
        if (term.aborted) break;
      }
    }
    isJudging = false;
    unannotatedPods.set(term.aborted ? 0 : wrong.size);
  }

  async function mend(key: string, turn: () => Promise<void>): Promise<Again> {
    const at = wrong.get(key);
    if (at === undefined) return 'done';
    await turn();
    const pod = podOf(at.name, at.namespace);
    const wanted = pod && wantedOf(pod);
    if (pod === undefined || wanted === undefined || hasAnnotations(pod, wanted)) {
      note(key, pod, wanted);
      return 'done';
    }
    const { uid, resourceVersion } = pod;
    const annotations = Object.fromEntries(podAnnotations.map((name) => [name, wanted[name] ?? null]));
    const patch = { metadata: { uid, resourceVersion, annotations } };
    const answer = await cluster
      .mergePatch('pods', at, patch, { metadataOnly: true })
      .catch((error: unknown) => {
        podPatchesTotal.inc({ result: hasStatus(error, 409) ? 'conflict' : 'failed' });
        throw error;
      });
    const found = answer.metadata.annotations ?? {};
    // Our own webhook may have written something else: a replica that has not heard yet of what is known here.
    const isUndone = podAnnotations.some((name) => found[name] !== wanted[name]);
    podPatchesTotal.inc({ result: isUndone ? 'undone' : 'mended' });
    if (isUndone) return 'again';
    wrong.delete(key);
    unannotatedPods.set(wrong.size);
    return 'done';
  }

  term.addEventListener('abort', () => unannotatedPods.set(0), { once: true });
  return {
    mark(pods) {
      for (const { key, name, namespace } of pods) marked.set(key, { key, name, namespace });
      if (isJudging || marked.size === 0 || term.aborted) return;
      isJudging = true;
      void judgeAll();
    },
    get size() {
      return marked.size + queue.size;
    },
  };
}
