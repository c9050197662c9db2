/** Reads policy files as text. Knows files and folders, nothing of what a policy says. */

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
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

/**
 * The policy files of a directory (`*.yaml`, `*.yml`, `*.json`; no subfolders, no hidden files), sorted by
 * name; or the one file that `path` names. A mounted ConfigMap is read as one state: when its `..data` link
 * moves meanwhile, the reading starts again.
 * @throws FILE_UNREADABLE
 */
export async function readPolicyFiles(path: string): Promise<readonly PolicyFile[]> {
  try {
    return (await stat(path)).isDirectory() ? await readWhileStill(path) : [await readPolicyFile(path)];
  } catch (error) {
    throw new GateError(
      'FILE_UNREADABLE',
      `cannot read policies from \`${path}\`: ${reasonOf(error)}`,
      error,
    );
  }
}

/** A digest of names and contents: equal digests mean that nothing has changed. */
export function digestOf(files: readonly PolicyFile[]): string {
  const hash = createHash('sha256');
  for (const { file, text } of files) {
    hash.update(JSON.stringify([file, text === null ? null : Buffer.byteLength(text)]));
    hash.update(text ?? '');
  }
  return hash.digest('hex');
}

async function readWhileStill(directory: string): Promise<readonly PolicyFile[]> {
  const attempts = 10;
  for (let attempt = 1; ; attempt++) {
    try {
      const state = await stateOf(directory);
      const files = await readDirectory(directory, state);
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

async function readDirectory(directory: string, state: string): Promise<readonly PolicyFile[]> {
  const files: PolicyFile[] = [];
  for (const name of (await readdir(state)).sort()) {
    if (name.startsWith('.') || !extensions.has(extname(name))) continue;
    const file = join(state, name);
    if (!(await stat(file)).isDirectory())
      files.push({ ...(await readPolicyFile(file)), file: join(directory, name) });
  }
  return files;
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
