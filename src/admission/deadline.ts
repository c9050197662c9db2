/** By when a request must have its answer: the API server says with `?timeout=` how long it waits. */

import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';

/** Runs from when it was made. */
export interface Deadline {
  /** Milliseconds from now; 0 once it has passed. For what a judge waits for. */
  leftMs(): number;
}

/** The longest `timeoutSeconds` that a webhook can have; also taken where the API server says nothing that can be read. */
const longestMs = 30_000;
const shortestMs = 100;
/** What the answer's way back may take. */
const marginOf = (timeoutMs: number): number => Math.min(timeoutMs / 10, 500);

/** Go writes durations like this: `5s`, `1m30s`, `1.5s`, `500ms`. */
const duration = /^(?:\d{1,9}(?:\.\d{1,9})?(?:h|ms|m|s)){1,4}$/;
const part = /(\d+(?:\.\d+)?)(h|ms|m|s)/g;
/** Bounded, so that a URL of many beginnings is still read in linear time. */
const parameter = /[?&]timeout=([0-9.hms]{1,40})(?:&|$)/;
const unitMs: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1_000,
  ms: 1,
};

/** How long the API server waits, in milliseconds (100 to 30,000), from the URL of a call. */
export function timeoutOf(url: string): number {
  const [, text = ''] = parameter.exec(url) ?? [];
  if (!duration.test(text)) return longestMs;
  let ms = 0;
  for (const [, count, unit = ''] of text.matchAll(part)) ms += Number(count) * (unitMs[unit] ?? 0);
  // Go's zero is no limit.
  return ms === 0 ? longestMs : Math.min(Math.max(ms, shortestMs), longestMs);
}

/** The deadline of a call that begins now: a little before the API server gives up. */
export function deadlineOf(url: string): Deadline {
  const timeoutMs = timeoutOf(url);
  const at = performance.now() + timeoutMs - marginOf(timeoutMs);
  return { leftMs: () => Math.max(0, at - performance.now()) };
}

/**
 * What `work` gives, unless the deadline comes first: an answer that says so is better than silence, of which the API
 * server only knows that it lasted.
 * @throws REVIEW_LATE, which is counted
 */
export async function within<T>(deadline: Deadline, work: T | Promise<T>): Promise<T> {
  if (!(work instanceof Promise)) return work;
  const { promise: expired, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reportFailure('review_late');
    reject(new GateError('REVIEW_LATE', 'the request could not be judged in time'));
  }, deadline.leftMs());
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}
