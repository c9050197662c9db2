import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pathMatcher } from '../../src/policy/glob.ts';
import { buildTrie, lookUp } from '../../src/policy/trie.ts';
import { assertLinear } from '../support/growth.ts';
import { patternsWithPaths } from '../support/policies.ts';

const trieOf = (...patterns: string[]) =>
  buildTrie(patterns.map((pattern, selector) => ({ selector, pattern })));

test('equals picomatch on 100,000 generated patterns and paths', () => {
  let hits = 0;
  fc.assert(
    fc.property(fc.array(patternsWithPaths, { minLength: 20, maxLength: 20 }), (pairs) => {
      const trie = trieOf(...pairs.map(({ pattern }) => pattern));
      const matchers = pairs.map(({ pattern }) => pathMatcher(pattern));
      for (const { path } of pairs) {
        const found = lookUp(trie, path);
        for (const [selector, matches] of matchers.entries()) {
          const expected = matches(path) ? 1n : 0n;
          hits += Number(expected);
          if (((found >> BigInt(selector)) & 1n) === expected) continue;
          assert.fail(`picomatch says ${expected} of \`${pairs[selector]?.pattern}\` on \`${path}\``);
        }
      }
    }),
    { numRuns: 250 },
  );
  assert.ok(hits > 5_000, `only ${hits} of the pairs match`);
});

test('gives every selector of which some pattern fits', () => {
  const trie = buildTrie([
    { selector: 0, pattern: '/usr/bin/ls' },
    { selector: 1, pattern: '/usr/**' },
    { selector: 2, pattern: '/etc/passwd' },
    { selector: 2, pattern: '/usr/*/ls' },
    { selector: 63, pattern: '/**' },
  ]);
  assert.equal(lookUp(trie, '/usr/bin/ls'), 0b111n | (1n << 63n));
  assert.equal(lookUp(trie, '/etc/passwd'), 0b100n | (1n << 63n));
});

test('finds nothing for what is no path below the root', () => {
  for (const path of ['', '/', 'a', 'usr/bin']) assert.equal(lookUp(trieOf('/**', '/*'), path), 0n);
});

test('without patterns finds nothing', () => {
  assert.equal(lookUp(trieOf(), '/a'), 0n);
});

test('shares what patterns have in common', () => {
  assert.equal(trieOf('/a/b*/**/c', '/a/b*/**/c', '/a/b*/**/d').nodes.length, 6);
});

const hostile: Record<string, { patterns: string[]; path: (bytes: number) => string }> = {
  'nested `**`': {
    patterns: ['/**/a/**/a/**/a/**/b', '/a/**/a/**/a/**/a'],
    path: (bytes) => '/a'.repeat(bytes / 2),
  },
  'many stars in one component': {
    patterns: [`/${'a*'.repeat(100)}b`],
    path: (bytes) => `/${'a'.repeat(bytes)}`,
  },
  'a long piece that nearly fits': {
    patterns: [`/*${'a'.repeat(200)}b*`],
    path: (bytes) => `/${'a'.repeat(bytes)}`,
  },
  'starred components': {
    patterns: [`${'/*'.repeat(50)}/**/${'*a/'.repeat(50)}b`],
    path: (bytes) => '/aa'.repeat(bytes / 3),
  },
};

for (const [name, { patterns, path }] of Object.entries(hostile)) {
  test(`takes time linear in the path: ${name}`, () => {
    const trie = trieOf(...patterns);
    assertLinear(name, (bytes) => {
      const long = path(bytes);
      return () => lookUp(trie, long);
    });
  });
}
