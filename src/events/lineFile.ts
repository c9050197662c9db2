/**
 * One file that grows by lines. Owns the file's descriptor and the lines that wait for it.
 *
 *   append -> waiting -> [rotate] -> write -> [fsync]
 *
 * One writer at a time. After an error the same bytes are tried again from where the disk stopped taking
 * them, so that a full disk neither loses nor doubles nor cuts a line.
 */

import { type FileHandle, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { reportFailure } from '../failures.ts';

export interface LineFileOptions {
  /** A file is put aside before it would grow beyond this many bytes (default: 64 MiB). */
  readonly maxFileBytes: number;
  /** A file is put aside when it is older than this many milliseconds (default: 24 hours). */
  readonly maxFileAgeMs: number;
  /** How many files put aside are kept; older ones are deleted (default: 16). */
  readonly keepFiles: number;
  /** When what is written is also on the disk: after each batch, every second, or when the kernel likes (default: every second). */
  readonly fsync: 'always' | 'everySecond' | 'never';
}

export interface LineFile {
  /** Takes a line that ends with a newline. Never blocks. */
  append(line: string): void;
  waitingBytes(): number;
  /** Resolves when the kernel has every line that was taken. */
  written(): Promise<void>;
  close(deadlineMs: number): Promise<void>;
}

const retryFirstMs = 100;
const retryLongestMs = 5_000;
/** A write that has not come back so long after the deadline is one that hangs: a disk or a server that does not answer. */
const giveUpMs = 100;

export function openLineFile(folder: string, name: string, options: Partial<LineFileOptions>): LineFile {
  const { maxFileBytes = 64 << 20, maxFileAgeMs = 86_400_000, keepFiles = 16 } = options;
  const fsync = options.fsync ?? 'everySecond';
  const path = join(folder, `${name}.ndjson`);
  let waiting: string[] = [];
  let waitingBytes = 0;
  let writing: Promise<void> | undefined;
  /** Lines of the batch that is being written; 0 once they are given up. */
  let underWay = 0;
  let stopRetrying = false;
  let wakeUp: (() => void) | undefined;
  let file: { handle: FileHandle; bytes: number; bornMs: number } | undefined;
  let isDirty = false;

  /** `goesOn`: a line that was cut off is this writer's own, and its rest comes next. */
  const openFile = async (goesOn: boolean) => {
    const handle = await open(path, 'a+', 0o640);
    const { size, birthtimeMs } = await handle.stat();
    file = { handle, bytes: size, bornMs: size === 0 ? Date.now() : birthtimeMs };
    if (goesOn) return file;
    // Whoever died while writing left half a line: the next one must not become part of it.
    const last = Buffer.alloc(1);
    if (size > 0 && (await handle.read(last, 0, 1, size - 1)).bytesRead === 1 && last[0] !== 0x0a) {
      await handle.write('\n');
    }
    return file;
  };
  const closeFile = async () => {
    const { handle } = file ?? {};
    file = undefined;
    await handle?.close().catch(() => undefined);
  };
  const putAside = async () => {
    if (fsync !== 'never') await file?.handle.datasync();
    await closeFile();
    const time = new Date().toISOString().replaceAll(/[:.]/g, '-');
    await rename(path, join(folder, `${name}.${time}-${process.hrtime.bigint() % 1_000_000n}.ndjson`));
    const aside = (await readdir(folder)).filter(
      (each) => each.startsWith(`${name}.2`) && each.endsWith('.ndjson'),
    );
    for (const each of aside.sort().slice(0, Math.max(0, aside.length - keepFiles))) {
      await unlink(join(folder, each));
    }
  };

  /** Writes `bytes` from `from` on; gives how many of them the file has then. */
  const writeFrom = async (bytes: Buffer, from: number): Promise<number> => {
    let now = file ?? (await openFile(from > 0));
    const isFull = now.bytes > 0 && now.bytes + bytes.length > maxFileBytes;
    if (from === 0 && (isFull || (now.bytes > 0 && Date.now() - now.bornMs > maxFileAgeMs))) {
      await putAside();
      now = await openFile(false);
    }
    // The file that has the beginning of this line was taken away meanwhile.
    const start = from > 0 && now.bytes === 0 ? bytes.lastIndexOf('\n', from - 1) + 1 : from;
    const { bytesWritten } = await now.handle.write(bytes, start);
    now.bytes += bytesWritten;
    isDirty = true;
    return start + bytesWritten;
  };

  const writeBatch = async (bytes: Buffer): Promise<void> => {
    let retryMs = retryFirstMs;
    for (let done = 0; done < bytes.length && !stopRetrying; ) {
      try {
        done = await writeFrom(bytes, done);
        retryMs = retryFirstMs;
      } catch (error) {
        reportFailure('document_write_failed', { output: path, reason: String(error) });
        await closeFile();
        await pause(retryMs);
        retryMs = Math.min(2 * retryMs, retryLongestMs);
      }
    }
    if (fsync === 'always') await syncNow();
  };
  const pause = (ms: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const writeWaiting = async (): Promise<void> => {
    while (waiting.length > 0 && !stopRetrying) {
      const batch = waiting;
      waiting = [];
      underWay = batch.length;
      const bytes = Buffer.from(batch.join(''));
      await writeBatch(bytes);
      waitingBytes -= bytes.length;
      if (stopRetrying && underWay > 0) reportFailure('document_dropped', { output: path }, underWay);
    }
    writing = undefined;
  };
  const syncNow = async (): Promise<void> => {
    if (!isDirty) return;
    isDirty = false;
    await file?.handle.datasync().catch((error: unknown) => {
      reportFailure('document_write_failed', { output: path, reason: String(error) });
    });
  };
  const everySecond = setInterval(() => fsync === 'everySecond' && void syncNow(), 1_000);
  everySecond.unref();

  return {
    append(line) {
      waiting.push(line);
      waitingBytes += Buffer.byteLength(line);
      writing ??= writeWaiting();
    },
    waitingBytes: () => waitingBytes,
    written: async () => await writing,
    async close(deadlineMs) {
      clearInterval(everySecond);
      const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<'givenUp'>();
      let limit = setTimeout(() => {
        stopRetrying = true;
        wakeUp?.();
        limit = setTimeout(giveUp, giveUpMs, 'givenUp');
      }, deadlineMs);
      const isGivenUp = (await Promise.race([writing, givenUp])) === 'givenUp';
      clearTimeout(limit);
      const dropped = waiting.length + (isGivenUp ? underWay : 0);
      if (dropped > 0) reportFailure('document_dropped', { output: path }, dropped);
      waiting = [];
      underWay = 0;
      // The kernel is not done with a write to it, which closing it would wait for.
      if (isGivenUp) return;
      if (fsync !== 'never') await syncNow();
      await closeFile();
    },
  };
}
