/** The product's own source files, for the tests that hold its rules. */

import { globSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

/** Paths from the repository's root, such as `src/policy/parse.ts`. */
export function sourceFiles(): string[] {
  return globSync('src/**/*.ts', { cwd: root }).sort();
}

export function textOf(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** What a file imports: `local` as paths from the root, `packages` by name (built-in modules as `node:fs`). */
export function importsOf(file: string): { local: string[]; packages: string[] } {
  const local: string[] = [];
  const packages: string[] = [];
  for (const [, specifier] of textOf(file).matchAll(
    /(?:\bfrom|\bimport|\brequire\(|\bimport\()\s*'([^']+)'/g,
  )) {
    if (specifier === undefined) continue;
    if (specifier.startsWith('.')) local.push(posix.join(posix.dirname(file), specifier));
    else packages.push(specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : specifier);
  }
  return { local, packages };
}
