/** Where documents go. */

import type { GateDocument } from './document.ts';

/** The most that may wait in memory for a slow output before documents are dropped and counted. */
export const maxWaitingBytes = 32 << 20;

/** An output. A verdict never waits for it: `write` takes or drops (and counts), it neither blocks nor throws. */
export interface Sink {
  write(document: GateDocument): void;
  /** Resolves when what was taken so far is out of this process, or given up. A dead output may take for ever. */
  written(): Promise<void>;
  /** Writes what waits, for at most `deadlineMs` (default: 2000), and gives everything back. Twice is fine. */
  close(deadlineMs?: number): Promise<void>;
}
