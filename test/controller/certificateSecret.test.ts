import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import { issuerOf, readState, writeState } from '../../src/controller/certificateSecret.ts';

const hour = 3_600_000;
const now = Date.now();
const until = (hours: number) => ({ notBefore: now, notAfter: now + hours * hour });
const first = await makeAuthority('first', until(10));
const second = await makeAuthority('second', until(20));
const leaf = await issueLeaf(first, ['localhost'], until(1));
const stranger = await issueLeaf(await makeAuthority('stranger', until(10)), ['localhost'], until(1));
const good = writeState({ authorities: [first, second], leaf });
const base64 = (text: string) => Buffer.from(text).toString('base64');

test('reads what it wrote', () => {
  const state = readState(good);
  assert.deepEqual(state.problems, []);
  assert.deepEqual(
    state.authorities.map(({ cert }) => cert),
    [first.cert, second.cert],
  );
  assert.equal(state.leaf?.key, leaf.key);
  assert.deepEqual(writeState(state), good);
});

test('a Secret as the chart renders it has neither authorities nor problems', () => {
  for (const data of [undefined, {}])
    assert.deepEqual(readState(data), { authorities: [], leaf: undefined, problems: [] });
});

test('the authority that ends first comes first, whatever its name in the Secret is', () => {
  const state = readState(writeState({ authorities: [second, first], leaf }));
  assert.deepEqual(
    state.authorities.map(({ cert }) => cert),
    [first.cert, second.cert],
  );
});

for (const [because, change, authorities, hasLeaf, problem] of [
  ['a key is garbage', { 'ca-2.key': base64('x') }, 1, true, /`ca-2`: the private key is not PEM/],
  ['a certificate is not base64', { 'ca-2.crt': '%%%' }, 1, true, /`ca-2`: the certificate is not PEM/],
  ['a key is missing', { 'ca-2.key': '' }, 1, true, /`ca-2`: the private key is not PEM/],
  [
    'the keys are of each other',
    { 'ca-2.key': good['ca-1.key'] ?? '' },
    1,
    true,
    /not the key of the certificate/,
  ],
  [
    'a leaf stands for an authority',
    { 'ca-2.crt': good['tls.crt'] ?? '', 'ca-2.key': good['tls.key'] ?? '' },
    1,
    true,
    /not a self-signed certificate authority/,
  ],
  [
    'both authorities are the same',
    { 'ca-2.crt': good['ca-1.crt'] ?? '', 'ca-2.key': good['ca-1.key'] ?? '' },
    1,
    true,
    /the same as the other/,
  ],
  [
    'the leaf is of a stranger',
    { 'tls.crt': base64(stranger.cert), 'tls.key': base64(stranger.key) },
    2,
    false,
    /signed by neither/,
  ],
  ['the authority of the leaf is garbage', { 'ca-1.crt': base64('x') }, 1, false, /signed by neither/],
] as const) {
  test(`leaves out what cannot be used, and says what, when ${because}`, () => {
    const state = readState({ ...good, ...change });
    assert.equal(state.authorities.length, authorities);
    assert.equal(state.leaf !== undefined, hasLeaf);
    assert.match(state.problems.join('; '), problem);
  });
}

test('finds the issuer by the signature', () => {
  assert.equal(issuerOf(leaf, [second, first]), first);
  assert.equal(issuerOf(stranger, [first, second]), undefined);
});

test('no problem shows a key', () => {
  const broken = Object.fromEntries(Object.entries(good).map(([key, value]) => [key, value.slice(0, -40)]));
  const { problems } = readState(broken);
  assert.ok(problems.length > 0);
  for (const problem of problems) assert.ok(problem.length < 200, problem);
});
