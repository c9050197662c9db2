import assert from 'node:assert/strict';
import { test } from 'node:test';
import { componentFits, parseGlob, pathMatcher } from '../../src/policy/glob.ts';

/** Pattern, paths that fit, paths that do not. */
const table: [pattern: string, fits: string[], others: string[]][] = [
  ['/usr/bin/ls', ['/usr/bin/ls'], ['/usr/bin', '/usr/bin/ls/x', '/usr/bin/lsx', '/x/usr/bin/ls']],
  ['/usr/bin/*', ['/usr/bin/ls', '/usr/bin/.x'], ['/usr/bin', '/usr/bin/a/b']],
  ['/usr/**', ['/usr/a', '/usr/.a/.b'], ['/usr', '/usrx/a']],
  ['/*', ['/a', '/.a'], ['/', '/a/b']],
  ['/**', ['/a', '/a/b'], ['/']],
  ['/a/**/b', ['/a/b', '/a/x/b', '/a/x/y/b'], ['/a/x', '/ab', '/a/xb']],
  ['/**/b', ['/a/b', '/a/x/b'], ['/b', '/a/xb']],
  ['/**/**/b', ['/a/b'], ['/b']],
  ['/a/**/**', ['/a/b', '/a/b/c'], ['/a']],
  ['/a/**/*', ['/a/b', '/a/b/c'], ['/a']],
  ['/*/**', ['/a/b', '/a/b/c'], ['/a']],
  ['/etc/*.conf', ['/etc/a.conf', '/etc/.conf'], ['/etc/aconf', '/etc/a.conf/b']],
  ['/a*b*c', ['/abc', '/aXbYc', '/abbcc'], ['/ac', '/abcd', '/acb']],
  ['/a\\', ['/a\\'], ['/a', '/a\\\\']],
  ['/\\*', ['/\\', '/\\x'], ['/*', '/x']],
  ['/[ab]?{c,d}(e|f)!+@"$^', ['/[ab]?{c,d}(e|f)!+@"$^'], ['/ab', '/a']],
];

for (const [pattern, fits, others] of table) {
  test(`\`${pattern}\` matches what it says and nothing else`, () => {
    const matches = pathMatcher(pattern);
    assert.deepEqual(
      fits.filter((path) => !matches(path)),
      [],
    );
    assert.deepEqual(others.filter(matches), []);
  });
}

test('a pattern falls into components', () => {
  assert.deepEqual(parseGlob('/usr/*/b*n/**'), [
    { kind: 'text', text: 'usr' },
    { kind: 'stars', pieces: ['', ''] },
    { kind: 'stars', pieces: ['b', 'n'] },
    { kind: 'deep' },
  ]);
});

test('adjacent `**` are one, and a first one asks for a component', () => {
  const expected = [{ kind: 'stars', pieces: ['', ''] }, { kind: 'deep' }, { kind: 'text', text: 'a' }];
  assert.deepEqual(parseGlob('/**/**/a'), expected);
  assert.deepEqual(parseGlob('/**/**'), [{ kind: 'deep' }]);
});

test('the end of a component is not used twice', () => {
  assert.equal(componentFits(['ab', 'ba'], 'aba'), false);
  assert.equal(componentFits(['ab', 'ba'], 'abba'), true);
  assert.equal(componentFits(['a', 'b', 'b'], 'ab'), false);
});
