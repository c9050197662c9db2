import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, sourceFiles, textOf } from './sources.ts';

/** Lines of source files, without comments, that match. */
function linesWith(pattern: RegExp, except: string): string[] {
  return sourceFiles()
    .filter((file) => file !== except)
    .flatMap((file) =>
      textOf(file)
        .split('\n')
        .map((line, index) => ({ line, at: `${file}:${index + 1}` }))
        .filter(({ line }) => !/^\s*(\*|\/\*|\/\/)/.test(line) && pattern.test(line))
        .map(({ at }) => at),
    );
}

test('only config.ts reads the environment', () => {
  assert.deepEqual(linesWith(/\bprocess\.env\b/, 'src/config.ts'), []);
});

test('only main.ts ends the process', () => {
  assert.deepEqual(
    linesWith(/\bprocess\.(exit|abort|reallyExit)\b|\bprocess\.exitCode\b/, 'src/main.ts'),
    [],
  );
});

test('no source file is longer than 250 lines', () => {
  const files = [...sourceFiles(), ...globSync('src/native/*.{cc,h}', { cwd: root })];
  assert.deepEqual(
    files.filter((file) => textOf(file).split('\n').length > 251),
    [],
  );
});

test('every C++ file is in one unit of compilation, in the order of the alphabet', () => {
  const units = globSync('src/native/units/*.cc', { cwd: root }).filter((unit) => !unit.endsWith('addon.cc'));
  const included = units
    .sort()
    .flatMap((unit) => [...textOf(unit).matchAll(/^#include "\.\.\/(.+)"$/gm)].map(([, name]) => name));
  const all = globSync('*.cc', { cwd: join(root, 'src/native') }).filter((name) => name !== 'binding.cc');
  assert.deepEqual(included, all.sort());
});

test('every test file stands for a source file, a folder rule or a property', () => {
  const sources = new Set(sourceFiles());
  const orphans = globSync(
    'test/{policy,admission,sources,kubernetes,certificates,controller,events,cli}/*.test.ts',
    {
      cwd: root,
    },
  )
    .map((file) => ({
      file,
      name: file.replace(/^test\//, 'src/').replace(/(\.[a-z-]+)?\.test\.ts$/, '.ts'),
    }))
    .filter(({ name }) => !sources.has(name))
    .map(({ file }) => file);
  assert.deepEqual(orphans, []);
});

test('relative links of the documentation lead to files', () => {
  const dead = globSync('{*.md,docs/**/*.md,bench/*.md,certs/*.md,charts/**/*.md}', { cwd: root }).flatMap(
    (file) =>
      [...readFileSync(join(root, file), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .map(([, link]) => join(file, '..', link ?? ''))
        .filter((target) => globSync(target, { cwd: root }).length === 0)
        .map((target) => `${file}: ${target}`),
  );
  assert.deepEqual(dead, []);
});
