/**
 * Tells when a path may have changed. Owns an inotify watch and a timer; neither keeps the process alive.
 *
 * The watch is for speed, the timer for truth: a watch dies with its directory, does not see what a symbolic
 * link leads to, and loses notices when the kernel's queue is full.
 */

import { type FSWatcher, watch } from 'node:fs';

export interface Changes {
  /** Runs a check now, or waits for the one that began after this call. Never rejects. */
  checkNow(): Promise<void>;
  close(): void;
}

/** A burst of notices within this time makes one check. */
const debounceMs = 50;

/**
 * Calls `check` soon after `path`, or an entry of it, has changed, and every `recheckMs` milliseconds. Two
 * checks never overlap. INVARIANT: `check` does not reject; it reports its own failures.
 */
export function notifyOfChanges(path: string, recheckMs: number, check: () => Promise<void>): Changes {
  let watcher: FSWatcher | undefined;
  let debounce: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let queued: Promise<void> | undefined;
  let closed = false;

  const checkNow = (): Promise<void> => {
    if (closed) return Promise.resolve();
    if (running === undefined) {
      arm();
      running = check().finally(() => {
        running = undefined;
      });
      return running;
    }
    queued ??= running.then(() => {
      queued = undefined;
      return checkNow();
    });
    return queued;
  };

  const arm = (): void => {
    // Armed anew before every check, so that a directory that was replaced is watched again.
    watcher?.close();
    watcher = undefined;
    try {
      watcher = watch(path, { persistent: false }, notice);
      watcher.on('error', notice);
    } catch {
      // The path is not there, or the user's inotify watches are used up: the timer will see it.
    }
  };

  const notice = (): void => {
    debounce ??= setTimeout(() => {
      debounce = undefined;
      void checkNow();
    }, debounceMs).unref();
  };

  arm();
  const timer = setInterval(() => void checkNow(), recheckMs).unref();
  return {
    checkNow,
    close() {
      closed = true;
      clearInterval(timer);
      clearTimeout(debounce);
      watcher?.close();
    },
  };
}
