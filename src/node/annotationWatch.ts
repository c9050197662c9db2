/**
 * Tells of pods whose annotations stay different from what the node binds. The node never trusts an annotation, so this
 * changes no verdict: somebody reads the annotation and is misled, or the controller that mends it is away.
 */

import { reportFailure } from '../failures.ts';
import type { Place, PodDifference } from './place.ts';

export interface AnnotationWatch {
  close(): void;
}

export interface AnnotationWatchOptions {
  /** Told once for each difference that lasts. */
  readonly onDifference?: ((difference: PodDifference) => void) | undefined;
  /** Milliseconds for the controller to mend it (default: 15000). */
  readonly graceMs?: number;
  /** Milliseconds between two looks (default: 5000). */
  readonly everyMs?: number;
}

/** Of what a pod claims, which may be a quarter of a MiB. */
const maxLoggedLength = 1_024;

/** Looks from now on, until closed. Does not keep the process alive. */
export function watchAnnotations(
  place: Pick<Place, 'differences'>,
  { onDifference, graceMs = 15_000, everyMs = 5_000 }: AnnotationWatchOptions = {},
): AnnotationWatch {
  /** By UID of the pod: what differed, since when, and whether it was told. */
  let known = new Map<string, { text: string; since: number; isTold: boolean }>();

  const look = (): void => {
    const now = performance.now();
    const next: typeof known = new Map();
    for (const difference of place.differences()) {
      const { pod, found, expected } = difference;
      const text = `${found} ${expected}`;
      const before = known.get(pod.uid);
      const entry = before?.text === text ? before : { text, since: now, isTold: false };
      next.set(pod.uid, entry);
      if (entry.isTold || now - entry.since < graceMs) continue;
      entry.isTold = true;
      const claimed = found.slice(0, maxLoggedLength);
      reportFailure('annotation_differs', {
        namespace: pod.namespace,
        pod: pod.name,
        found: claimed,
        expected,
      });
      onDifference?.(difference);
    }
    known = next;
  };

  const timer = setInterval(look, everyMs).unref();
  return { close: () => clearInterval(timer) };
}
