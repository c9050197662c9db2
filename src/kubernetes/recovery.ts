/**
 * How a watch goes on after a failure: how long it waits, and whether it watches on from where it was or lists first.
 *
 * It watches on wherever it can. A list of thousands of objects is what an API server that has just come back, and that
 * everybody asks at once, can give least. So a list is made only when the history is gone (410), when watching is refused
 * again and again by a server that answers, and, unhurried, once it watches again after an outage.
 */

import { hasStatus } from './transport.ts';

export interface RecoveryTimes {
  /** The first pause after a failure; doubles with each further one (default: 250). */
  readonly firstPauseMs: number;
  /** The longest pause, also when `Retry-After` asks for more (default: 10000). */
  readonly longestPauseMs: number;
}

export interface NextAttempt {
  readonly pauseMs: number;
  /**
   * `list`: what was known of the history is of no use. `listOnce`: a list may tell what watching does not; should it fail
   * too, watching goes on. `watch`: from where it was, where that is known.
   */
  readonly next: 'watch' | 'listOnce' | 'list';
}

export interface Recovery {
  /** Failures since the server last showed that it watches. */
  readonly failuresInRow: number;
  /** What comes after a failure of a list or of a watch. */
  failed(error: unknown, during: 'list' | 'watch'): NextAttempt;
  listed(): void;
  /** The server watches from where we were. Whether a list is due soon, since there was an outage and none was made after it. */
  watched(): boolean;
}

/** When watching is refused so often in a row by a server that answers, a list may tell what it does not. */
const refusalsUntilList = 3;
/**
 * So many failures in a row are an outage. The history after one may be another (etcd restored from a backup), in which a
 * watch from our version hears nothing and fails at nothing.
 */
const failuresOfOutage = 3;

export function makeRecovery({ firstPauseMs, longestPauseMs }: RecoveryTimes): Recovery {
  let failuresInRow = 0;
  /** Of them those that a server answered, since it last did not. */
  let answersInRow = 0;
  /** How often in a row the history was gone although a list had just been made. */
  let expiriesInRow = 0;
  let hadOutage = false;

  /** Doubles from the first pause on, with jitter: replicas and nodes must not come back all at once. */
  const pauseMs = (count: number) =>
    Math.min(firstPauseMs * 2 ** (count - 1), longestPauseMs) * (0.5 + Math.random() / 2);

  return {
    get failuresInRow() {
      return failuresInRow;
    },
    failed(error, during) {
      failuresInRow += 1;
      hadOutage ||= failuresInRow >= failuresOfOutage;
      // Away is not the same as refusing: whoever answers again is asked again soon.
      answersInRow = hasStatus(error, 0) ? 0 : answersInRow + 1;
      if (during === 'watch' && hasStatus(error, 410)) {
        // What a server that has started again says first, as a rule. It can list, so that waiting would gain nothing.
        expiriesInRow += 1;
        return { pauseMs: pauseMs(expiriesInRow), next: 'list' };
      }
      if (hasStatus(error, 429)) {
        const askedMs = Math.min(error.retryAfterMs ?? 1_000, longestPauseMs);
        return { pauseMs: Math.max(pauseMs(answersInRow), askedMs), next: 'watch' };
      }
      const isRefusal = during === 'watch' && answersInRow > 0 && answersInRow % refusalsUntilList === 0;
      return {
        pauseMs: pauseMs(answersInRow === 0 ? failuresInRow : answersInRow),
        next: isRefusal ? 'listOnce' : 'watch',
      };
    },
    listed() {
      hadOutage = false;
    },
    watched() {
      const isListDue = hadOutage;
      [failuresInRow, answersInRow, expiriesInRow, hadOutage] = [0, 0, 0, false];
      return isListDue;
    },
  };
}
