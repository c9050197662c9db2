import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import { readPair } from '../../src/certificates/pair.ts';

const validity = { notBefore: Date.now(), notAfter: Date.now() + 3_600_000 };
const authority = await makeAuthority('test CA', validity);
const leaf = await issueLeaf(authority, ['localhost'], validity);
const encrypted = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' },
}).privateKey;

test('reads back what was issued, with its times', () => {
  const pair = readPair(leaf.cert, leaf.key);
  assert.equal(pair.notAfter, leaf.notAfter);
  assert.equal(pair.certificate.fingerprint256, leaf.certificate.fingerprint256);
});

test('reads the first certificate of a chain', () => {
  const pair = readPair(leaf.cert + authority.cert, leaf.key);
  assert.equal(pair.certificate.fingerprint256, leaf.certificate.fingerprint256);
});

const half = (text: string) => text.slice(0, text.length / 2);

for (const [because, certificate, key, message] of [
  ['it is empty', '', leaf.key, /the certificate is not PEM/],
  ['it is not PEM', 'garbage', leaf.key, /the certificate is not PEM/],
  ['it was cut off', half(leaf.cert), leaf.key, /the certificate is not PEM/],
  ['the key is empty', leaf.cert, '', /the private key is not PEM/],
  ['the key was cut off', leaf.cert, half(leaf.key), /the private key is not PEM/],
  ['the key needs a passphrase', leaf.cert, encrypted, /the private key is not PEM/],
  ['the key is of another certificate', leaf.cert, authority.key, /not the key of the certificate/],
  ['the chain behind it is garbage', `${leaf.cert}${half(leaf.cert)}`, leaf.key, /OpenSSL refuses/],
] as const) {
  test(`refuses a pair because ${because}`, () => {
    assert.throws(() => readPair(certificate, key), { code: 'TLS_UNUSABLE', message });
  });
}
