/** Documents to files: one per data stream in a directory, each line a whole document that Filebeat can ship. */

import { access, constants, mkdir } from 'node:fs/promises';
import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';
import { type LineFile, type LineFileOptions, openLineFile } from './lineFile.ts';
import { maxWaitingBytes, type Sink } from './sink.ts';

export type NdjsonOptions = Partial<LineFileOptions>;

/**
 * Makes the directory when it is missing. Files are `<data stream>.ndjson`; a full or old one is renamed to
 * `<data stream>.<time>.ndjson`.
 * @throws OUTPUT_UNUSABLE when the directory cannot be made or written to
 */
export async function openNdjson(directory: string, options: NdjsonOptions = {}): Promise<Sink> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o750 });
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new GateError('OUTPUT_UNUSABLE', `cannot write documents to \`${directory}\`: ${reason}`, error);
  }
  const files = new Map<string, LineFile>();
  const waitingBytes = (): number => [...files.values()].reduce((sum, file) => sum + file.waitingBytes(), 0);
  let closed = false;
  return {
    write({ dataStream, json }) {
      if (closed || waitingBytes() > maxWaitingBytes) {
        reportFailure('document_dropped', { output: directory });
        return;
      }
      let file = files.get(dataStream);
      if (file === undefined) {
        file = openLineFile(directory, dataStream, options);
        files.set(dataStream, file);
      }
      file.append(`${json}\n`);
    },
    async written() {
      await Promise.all([...files.values()].map((file) => file.written()));
    },
    async close(deadlineMs = 2_000) {
      closed = true;
      await Promise.all([...files.values()].map((file) => file.close(deadlineMs)));
    },
  };
}
