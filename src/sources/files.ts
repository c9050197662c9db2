/** Reads policy files as text. Knows files and folders, nothing of what a policy says. */

import { type BigIntStats, constants } from 'node:fs';
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { GateError } from '../errors.ts';

/** Larger files are not read; the policy language has the same limit. */
export const maxPolicyBytes = 1 << 20;

const tooLarge = { text: null, reason: `it is larger than ${maxPolicyBytes} bytes` } as const;

const extensions = new Set(['.yaml', '.yml', '.json']);

/** The text of a file, or why it has none. */
export type PolicyText = { readonly text: string } | { readonly text: null; readonly reason: string };

/** One policy file. */
export type PolicyFile = {
  /** The path given, joined with the file's name. */
  readonly file: string;
  /** File name without extension: the policy's ID. */
  readonly id: string;
} & PolicyText;

/** Reads policy files, time and again. */
export type PolicyFileReader = (path: string) => Promise<readonly PolicyFile[]>;

/** What is known of a file by its name on disk. */
type KnownFiles = Map<string, { readonly signature: string; readonly file: PolicyFile }>;

/**
 * How long a file must have stood unchanged before it is read for its reading to count for later. Two writes within
 * one tick of the filesystem's clock, with a reading between them, look like one.
 */
const settledMs = 2_000;

/**
 * The policy files of a directory (`*.yaml`, `*.yml`, `*.json`; no subfolders, no hidden files), sorted by
 * name; or the one file that `path` names. A mounted ConfigMap is read as one state: when its `..data` link
 * moves meanwhile, the reading starts again.
 * @throws FILE_UNREADABLE
 */
export const readPolicyFiles: PolicyFileReader = (path) => policyFileReader()(path);

/** As `readPolicyFiles`, but a file that is the same by its inode, size and times as in the last turn is not opened again. */
export function policyFileReader(): PolicyFileReader {
  let known: KnownFiles = new Map();
  return async (path) => {
    const next: KnownFiles = new Map();
    try {
      if (!(await stat(path)).isDirectory()) return [await readPolicyFile(path)];
      return await readWhileStill(path, known, next);
    } catch (error) {
      throw new GateError(
        'FILE_UNREADABLE',
        `cannot read policies from \`${path}\`: ${reasonOf(error)}`,
        error,
      );
    } finally {
      known = next;
    }
  };
}

/** Whether the same files, in the same order, say the same. */
export function saySame(some: readonly PolicyFile[], others: readonly PolicyFile[]): boolean {
  return (
    some.length === others.length &&
    some.every((one, index) => one.file === others[index]?.file && one.text === others[index]?.text)
  );
}

async function readWhileStill(
  directory: string,
  known: KnownFiles,
  next: KnownFiles,
): Promise<readonly PolicyFile[]> {
  const attempts = 10;
  for (let attempt = 1; ; attempt++) {
    try {
      const state = await stateOf(directory);
      const files = await readDirectory(directory, state, known, next);
      if (state === (await stateOf(directory))) return files;
      if (attempt === attempts) throw new Error('it changes faster than it can be read');
    } catch (error) {
      // A file may vanish between the listing and the reading: editors replace files by rename.
      if (attempt === attempts || !hasCode(error, 'ENOENT')) throw error;
    }
  }
}

/**
 * Where the files are. The kubelet keeps those of a ConfigMap in a folder that `..data` leads to, moves that
 * link to a new folder, and only then removes the old one file by file: so a state is whole while `..data` stays.
 */
async function stateOf(directory: string): Promise<string> {
  return realpath(join(directory, '..data')).catch(() => directory);
}

async function readDirectory(
  directory: string,
  state: string,
  known: KnownFiles,
  next: KnownFiles,
): Promise<readonly PolicyFile[]> {
  const files: PolicyFile[] = [];
  // Joined once: of ten thousand paths each takes a tenth of the memory that `join` would make it take.
  const [from, shown] = [join(state, '/'), join(directory, '/')];
  for (const name of (await readdir(state)).sort()) {
    if (name.startsWith('.') || !extensions.has(extname(name))) continue;
    const path = from + name;
    const facts = await stat(path, { bigint: true });
    if (facts.isDirectory()) continue;
    const signature = signatureOf(facts);
    const before = known.get(path);
    const file =
      before?.signature === signature ? before.file : { ...(await readPolicyFile(path)), file: shown + name };
    files.push(file);
    if (Date.now() - Number(facts.ctimeMs) > settledMs) next.set(path, { signature, file });
  }
  return files;
}

/** Whoever writes to a file, or puts another one in its place, changes one of these. */
function signatureOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}

async function readPolicyFile(file: string): Promise<PolicyFile> {
  const id = basename(file, extname(file));
  // O_NONBLOCK: opening a FIFO for reading would wait for a writer for ever.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) return { file, id, text: null, reason: 'it is not a regular file' };
    if (facts.size > maxPolicyBytes) return { file, id, ...tooLarge };
    return { file, id, ...policyText(await handle.readFile()) };
  } finally {
    await handle.close();
  }
}

/** The text of a policy's bytes, which must be UTF-8 and at most 1 MiB. */
export function policyText(bytes: Buffer): PolicyText {
  if (bytes.length > maxPolicyBytes) return tooLarge;
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { text: null, reason: 'it is not UTF-8' };
  }
}

function reasonOf(error: unknown): string {
  if (hasCode(error, 'ENOENT')) return 'no such file or directory';
  if (hasCode(error, 'EACCES')) return 'permission denied';
  return error instanceof Error ? error.message : String(error);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
