import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { normalizeImageName } from '../../src/policy/image.ts';
import {
  absolutePath,
  imageFullName,
  imageName,
  literal,
  namePrefix,
  pathWildcards,
  podLabel,
  symlinkedPath,
} from '../../src/policy/valueForms.ts';
import { root } from '../house/sources.ts';
import { assertLinear } from '../support/growth.ts';

const checks = {
  absolutePath,
  imageFullName,
  imageName,
  literal,
  namePrefix,
  pathWildcards,
  podLabel,
  symlinkedPath,
};

/** Per check: what it accepts, what it warns of, what it refuses. */
const table: Record<keyof typeof checks, { fine: string[]; warned: string[]; refused: string[] }> = {
  absolutePath: {
    fine: [
      '/usr/bin/*',
      '/usr/local/**',
      '/*',
      '/**',
      '/usr/bin/ls',
      '/etc/foo bar',
      '/usr/sbin*',
      '/a/*b*/c',
      '/...',
      '/?[x]{y}!',
    ],
    warned: [],
    refused: [
      '/',
      '/usr/',
      '//',
      '/a//b',
      '/***',
      '/a/***',
      '/a/**b',
      '/a**',
      '~/x',
      '~',
      'usr',
      'usr/bin',
      '/.',
      '/a/../b',
      '/a/.',
      '',
    ],
  },
  pathWildcards: {
    fine: ['/usr/bin/*', '/usr/local/**', '/*', '/**', '/usr/bin/ls'],
    warned: ['/usr/sbin*', '/etc/*.conf', '/usr/*/bin', '/home/**/.ssh/*', '/**/a', '/*/*', '/a*b'],
    refused: [],
  },
  symlinkedPath: {
    fine: ['/usr/bin/ls', '/binary', '/library/a', '/var/running', '/var/log', '/lib32/a', '/opt/bin/x'],
    warned: ['/bin', '/bin/sh', '/sbin/*', '/lib/**', '/lib64/x', '/var/run/a'],
    refused: [],
  },
  imageFullName: {
    fine: [
      'docker.io/nginx',
      'docker.io/library/nginx',
      'library/nginx',
      'localhost:5000/foo',
      '[::1]:5000/foo',
      'Registry.Example/a/b_c',
      'a.b-c/d.e/f-g',
      'docker/docker',
      'Docker/docker',
      '192.168.0.1/x',
    ],
    warned: ['docker.io/ng--inx', 'docker.io/ng__inx', 'my_team/x', 'a/b---c'],
    refused: [
      'nginx',
      'docker.io/Nginx',
      'docker.io/*',
      'docker.io/',
      '/nginx',
      'my_reg.io/x',
      'docker.io/a/',
      'docker.io/nginx:1.27',
      `docker.io/nginx@sha256:${'0'.repeat(64)}`,
      'docker.io/a b',
      '-a/b',
      'a.b:port/c',
      '[::1/c',
      'https://a/b',
      '',
    ],
  },
  imageName: {
    fine: ['nginx', 'elastic-agent', 'a.b_c-d', '0'],
    warned: ['a--b', 'ng__inx', 'a---b'],
    refused: ['Nginx', 'bad*imagename', 'library/nginx', 'nginx:1', 'a___b', 'a..b', '-a', 'a-', 'a b', ''],
  },
  podLabel: {
    fine: ['key:value', 'key:', 'key:*', 'key:v*', 'app.kubernetes.io/name:web_1.2-3', 'a:b*'],
    warned: ['my_key:val', 'a.b/c_d:e'],
    refused: [
      'key1',
      'key1*:value',
      'key:va*l',
      'key: val',
      'key:**',
      'a_b/c:d',
      'a/b/c:d',
      ':value',
      'key:a:b',
      'key:é',
      ' key:a',
      '',
    ],
  },
  namePrefix: { fine: ['web', 'web-*', '*'], warned: ['*-web', 'w*b', 'web**', '**'], refused: [] },
  literal: { fine: ['1.27', 'a b', ''], warned: ['*', 'team-*'], refused: [] },
};

for (const [name, { fine, warned, refused }] of Object.entries(table)) {
  const check = checks[name as keyof typeof checks];
  test(`knows the form of its values: ${name}`, () => {
    for (const value of fine) assert.equal(check(value), undefined, value);
    for (const value of warned)
      assert.notEqual(check(value)?.code ?? 'POLICY_VALUE_FORM', 'POLICY_VALUE_FORM', value);
    for (const value of refused) assert.equal(check(value)?.code, 'POLICY_VALUE_FORM', value);
  });
}

test('suggestions are values that the check accepts', () => {
  const suggested = (name: keyof typeof checks, value: string) => checks[name](value)?.suggestion;
  assert.equal(suggested('imageFullName', 'nginx'), 'docker.io/library/nginx');
  assert.equal(suggested('imageFullName', 'nginx:1.27'), 'docker.io/library/nginx');
  assert.equal(suggested('imageFullName', 'ghcr.io/a/b:1'), 'ghcr.io/a/b');
  assert.equal(suggested('imageName', 'library/nginx'), 'nginx');
  assert.equal(suggested('imageName', 'nginx:1'), 'nginx');
  assert.equal(suggested('podLabel', 'app'), 'app:*');
  assert.equal(suggested('absolutePath', '/a//b///c'), '/a/b/c');
  assert.equal(suggested('symlinkedPath', '/lib64/x'), '/usr/lib64/x');
  assert.equal(suggested('symlinkedPath', '/var/run/docker.sock'), '/run/docker.sock');
});

test('every image name with a slash that a runtime can pull is accepted, and no other', () => {
  const { normalizedValid, normalizedInvalid } = JSON.parse(
    readFileSync(join(root, 'test/fixtures/vectors/image-reference.json'), 'utf8'),
  );
  for (const name of normalizedValid.filter((text: string) => text.includes('/'))) {
    assert.notEqual(imageFullName(name)?.code, 'POLICY_VALUE_FORM', name);
  }
  for (const name of normalizedInvalid) assert.equal(imageFullName(name)?.code, 'POLICY_VALUE_FORM', name);
  const names = fc.stringMatching(/^[a-z0-9.:_\-/A]{1,12}$/);
  fc.assert(
    fc.property(names, (name) => {
      const isPulled = name.includes('/') && normalizeImageName(name) !== undefined;
      assert.equal(imageFullName(name)?.code !== 'POLICY_VALUE_FORM', isPulled, name);
    }),
    { numRuns: 20_000 },
  );
});

test('twice the value takes at most twice the time', () => {
  const parts = ['a', 'a-', 'a.', '__', '-', '/', '/a', ':', '*', '**/', 'a:', '.', '[', 'é'];
  for (const check of Object.values(checks)) {
    for (const part of parts) {
      const prepare = (bytes: number) => {
        const value = `/a/${part.repeat(bytes / part.length)}`;
        return () => [check(value), check(value.slice(1))];
      };
      assertLinear(`${check.name} ${part}`, prepare, 1);
    }
  }
});
