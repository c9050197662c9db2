/** A dynamic program with its loader and libraries, put into a container's root filesystem or image by the host. */

import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { must } from './programs.ts';

/** Puts the host's program at `path` below `root`. The path of its loader. */
export async function putDynamic(root: string, program: string, path: string): Promise<string> {
  const { stdout } = await must('ldd', [program]);
  const libraries = [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, found]) => found ?? '');
  for (const file of [path, ...libraries]) await mkdir(dirname(join(root, file)), { recursive: true });
  for (const library of libraries) await copyFile(library, join(root, library));
  await copyFile(program, join(root, path));
  return libraries.find((library) => /ld-|ld\.so/.test(library)) ?? '';
}
