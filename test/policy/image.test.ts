import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { maxReferenceLength, normalizeImageName, parseImage } from '../../src/policy/image.ts';
import { assertLinear } from '../support/growth.ts';

interface Vectors {
  normalizedValid: string[];
  normalizedInvalid: string[];
  repositoryInfo: {
    RemoteName: string;
    FamiliarName: string;
    FullName: string;
    AmbiguousName: string;
    Domain: string;
  }[];
  anyReference: { Reference: string; Equivalent: string }[];
  dockerRef: { name: string; input: string; expected: string }[];
  kubernetesParseImageName: {
    cases: { input: string; repo?: string; tag?: string; digest?: string; error?: string }[];
  };
}

const vectors: Vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/vectors/image-reference.json'), 'utf8'),
);

const sha256 = `sha256:${'0123456789abcdef'.repeat(4)}`;

for (const text of vectors.normalizedValid) {
  test(`a runtime accepts \`${text}\``, () => assert.notEqual(parseImage(text), undefined));
}

for (const text of vectors.normalizedInvalid) {
  test(`a runtime refuses \`${text.slice(0, 80)}\``, () => assert.equal(parseImage(text), undefined));
}

for (const { RemoteName, FamiliarName, FullName, AmbiguousName, Domain } of vectors.repositoryInfo) {
  test(`every form of \`${FullName}\` is one name`, () => {
    for (const text of [FamiliarName, FullName, AmbiguousName].filter(Boolean)) {
      assert.equal(normalizeImageName(text), FullName);
    }
    assert.equal(`${Domain}/${RemoteName}`, FullName);
  });
}

for (const { Reference, Equivalent } of vectors.anyReference) {
  if (Equivalent.startsWith('sha256:')) {
    test(`\`${Reference}\` is an image ID and names no repository`, () => {
      assert.equal(parseImage(Reference), undefined);
    });
    continue;
  }
  test(`\`${Reference}\` is \`${Equivalent}\``, () => {
    const image = parseImage(Reference);
    const [, name, tag, digest] = /^([^@]*?)(?::(\w+))?(?:@(.*))?$/.exec(Equivalent) ?? [];
    assert.equal(image?.fullName, name);
    assert.equal(image?.digest, digest ?? null);
    assert.equal(image?.tag, tag ?? (digest === undefined ? 'latest' : null));
  });
}

for (const { name, input, expected } of vectors.dockerRef) {
  test(`the normal form of \`${input.slice(0, 60)}\` (${name})`, () => {
    const image = parseImage(input);
    const form = image?.digest ? `${image.fullName}@${image.digest}` : `${image?.fullName}:${image?.tag}`;
    assert.equal(form, expected);
  });
}

for (const { input, repo, tag, digest } of vectors.kubernetesParseImageName.cases) {
  test(`the kubelet and we agree on \`${input.slice(0, 60)}\``, () => {
    const image = parseImage(input);
    assert.equal(image?.fullName, repo);
    if (image !== undefined) assert.deepEqual([image.tag, image.digest], [tag ?? null, digest ?? null]);
  });
}

test('the name is the last segment of the repository', () => {
  assert.equal(parseImage('nginx')?.name, 'nginx');
  assert.equal(parseImage('registry.k8s.io/a/b/pause:3.9')?.name, 'pause');
});

test('malformed tags and digests make it no reference', () => {
  const ends = [':', ':-a', `:${'a'.repeat(129)}`, ':a b', '@', '@sha256:', `@${sha256.slice(0, -1)}`];
  for (const end of [...ends, `@${sha256.toUpperCase()}`, `@md5:${'0'.repeat(32)}`, `@${sha256}@${sha256}`]) {
    assert.equal(parseImage(`nginx${end}`), undefined, end);
  }
});

test('a port without digits, an empty host label and a bad bracket make it no reference', () => {
  for (const host of ['a.b:', 'a.b:x', 'a..b', '.a', 'a.', '-a.b', '[::1', '[::g]:5000', '[]:1', ':5000']) {
    assert.equal(parseImage(`${host}/nginx`), undefined, host);
  }
});

test('a repository of 255 characters is one, of 256 not, whatever the registry', () => {
  assert.notEqual(parseImage(`registry.example/${'a'.repeat(255)}`), undefined);
  assert.equal(parseImage(`registry.example/${'a'.repeat(256)}`), undefined);
});

test('nothing longer than 4096 characters is a reference', () => {
  const host = (length: number) => `${'a.'.repeat(length / 2 - 1)}a/b`;
  assert.equal(host(maxReferenceLength - 2).length <= maxReferenceLength, true);
  assert.notEqual(parseImage(host(maxReferenceLength - 2)), undefined);
  assert.equal(parseImage(host(maxReferenceLength + 2)), undefined);
});

test('names normalise only without tag, digest or wildcard', () => {
  for (const text of ['nginx:1', `nginx@${sha256}`, 'nginx*', '', '/', 'a/', '/a', 'a//b']) {
    assert.equal(normalizeImageName(text), undefined, text);
  }
});

test('normal form is stable and parsing is total', () => {
  const part = fc.constantFrom(
    'nginx',
    'a.b',
    'A',
    ':',
    '/',
    '@',
    '5000',
    '__',
    '-',
    '.',
    'localhost',
    'docker.io',
    sha256,
    '\0',
    'é',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 7 }), (parts) => {
      const image = parseImage(parts.join(''));
      if (image !== undefined) assert.equal(normalizeImageName(image.fullName), image.fullName);
    }),
    { numRuns: 20_000 },
  );
});

const hostile: Record<string, (bytes: number) => string> = {
  'separators without end': (bytes) => `a${'-'.repeat(bytes)}!`,
  'components without end': (bytes) => `${'a/'.repeat(bytes / 2)}!`,
  'host labels without end': (bytes) => `${'a-.'.repeat(bytes / 3)}:/b`,
  'letters and dashes': (bytes) => `${'a-a'.repeat(bytes / 3)}.!/b`,
  colons: (bytes) => ':'.repeat(bytes),
  'at signs': (bytes) => '@'.repeat(bytes),
};

for (const [name, make] of Object.entries(hostile)) {
  test(`takes time linear in the text: ${name}`, () => {
    assertLinear(name, (bytes) => {
      const text = make(bytes);
      return () => parseImage(text);
    });
    // The longest text that is looked at, so that the cap is not what makes it fast.
    const text = make(maxReferenceLength - 8);
    const started = performance.now();
    for (let round = 0; round < 100; round += 1) parseImage(text);
    assert.ok(performance.now() - started < 500);
  });
}
