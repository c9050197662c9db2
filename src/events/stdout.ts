/** Documents to standard output, one JSON line each, for log collectors and for eyes. */

import type { Writable } from 'node:stream';
import { reportFailure } from '../failures.ts';
import { maxWaitingBytes, type Sink } from './sink.ts';

/**
 * Writes to `output` (default: standard output) as fast as its reader takes it. When the reader has gone, the
 * gate goes on without it: every document from then on is dropped and counted.
 */
export function stdoutSink(output: Writable = process.stdout): Sink {
  let gone = false;
  const onError = (error: Error): void => {
    if (!gone) reportFailure('document_write_failed', { output: 'stdout', reason: error.message });
    gone = true;
  };
  output.on('error', onError);
  return {
    write({ json }) {
      if (gone || output.writableLength > maxWaitingBytes) {
        reportFailure('document_dropped', { output: 'stdout' });
        return;
      }
      output.write(`${json}\n`);
    },
    async written() {
      if (gone || output.writableLength === 0) return;
      await new Promise<void>((resolve) => output.write('', () => resolve()));
    },
    async close(deadlineMs = 2_000) {
      if (gone || output.writableLength === 0) return;
      // Standard output is not this sink's to end.
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, deadlineMs);
        output.write('', () => {
          clearTimeout(limit);
          resolve();
        });
      });
    },
  };
}
