/** Events of the keeper on their way to whoever writes them: one batch after another, each of all that came meanwhile. */

import type { GateOptions } from './contract.ts';
import type { KernelEvent } from './kernelEvent.ts';

export interface EventBatches {
  add(event: KernelEvent): void;
  /** Resolves when what came so far has been done with. Never rejects. */
  settled(): Promise<void>;
}

/**
 * `confirming` is asked when a batch begins, and what it gives is called with the last sequence number of that batch once it has been
 * done with: only the keeper that told of it may be told so.
 */
export function batchEvents(
  { onEvents, onFailure }: Pick<GateOptions, 'onEvents' | 'onFailure'>,
  confirming: () => (sequence: number) => void,
): EventBatches {
  let told: Promise<void> = Promise.resolve();
  let events: KernelEvent[] = [];

  const tell = (): void => {
    const confirm = confirming();
    told = told.then(async () => {
      const batch = events;
      events = [];
      const last = batch.at(-1);
      if (last === undefined) return;
      try {
        await onEvents(batch);
      } catch (error) {
        onFailure('event_report_dropped', batch.length, String(error));
      }
      confirm(last.sequence);
    });
  };
  return {
    add(event) {
      events.push(event);
      if (events.length === 1) tell();
    },
    settled: () => told,
  };
}
