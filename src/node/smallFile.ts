/** Reads what runtimes leave in files, without trusting a file's size or kind. */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

const maxBytes = 4 << 20;
const leastRead = 2_048;

/** The text of a regular file of at most 4 MiB; `undefined` when there is none or it cannot be read. */
export async function readSmallFile(path: string): Promise<string | undefined> {
  try {
    // O_NONBLOCK: opening a FIFO would wait for its writer for ever.
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      const stats = await handle.stat();
      if (!stats.isFile() || stats.size > maxBytes) return undefined;
      return await textOf(handle, stats.size);
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
}

/** As `handle.readFile`, which takes 64 KiB for each file of /proc, whose size is 0, and goes on for as long as a file grows. */
async function textOf(handle: FileHandle, size: number): Promise<string | undefined> {
  const parts: Buffer[] = [];
  for (let bytes = 0; bytes <= maxBytes; ) {
    const part = Buffer.allocUnsafe(Math.max(size + 1 - bytes, leastRead));
    const { bytesRead } = await handle.read(part, 0, part.length);
    if (bytesRead === 0) return Buffer.concat(parts).toString('utf8');
    parts.push(part.subarray(0, bytesRead));
    bytes += bytesRead;
  }
  return undefined;
}

/** A JSON file's content; `undefined` when it cannot be read or is not JSON. */
export async function readJsonFile(path: string): Promise<unknown> {
  const text = await readSmallFile(path);
  return text === undefined ? undefined : parseJson(text);
}

/** `undefined` when the text is not JSON: a runtime may be writing it at this moment. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A value of parsed JSON by its keys, or `undefined` where one is missing. */
export function valueAt(value: unknown, ...keys: string[]): unknown {
  let at = value;
  for (const key of keys) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

/** As `valueAt`, for a string that is not empty. */
export function textAt(value: unknown, ...keys: string[]): string | undefined {
  const found = valueAt(value, ...keys);
  return typeof found === 'string' && found !== '' ? found : undefined;
}

/** As `valueAt`, for an object of strings; other members are left out. */
export function stringsAt(value: unknown, ...keys: string[]): Map<string, string> | undefined {
  const found = valueAt(value, ...keys);
  if (typeof found !== 'object' || found === null || Array.isArray(found)) return undefined;
  return new Map(
    Object.entries(found).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
