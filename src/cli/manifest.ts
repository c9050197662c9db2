/** Reads one YAML or JSON document of a file named on the command line. */

import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { GateError } from '../errors.ts';

/** @throws FILE_UNREADABLE  @throws USAGE when the text is not one document */
export async function readManifest(file: string): Promise<unknown> {
  const text = await readText(file);
  try {
    return parse(text);
  } catch (error) {
    throw new GateError('USAGE', `\`${file}\` is not one YAML document: ${firstLine(error)}`, error);
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new GateError('FILE_UNREADABLE', `cannot read \`${file}\`: ${firstLine(error)}`, error);
  }
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .split('\n', 1)
    .join('');
}
