import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeAuthority } from '../../src/certificates/issue.ts';
import { hasBundle, isTrustedByAll, readBundle, readConfiguration } from '../../src/controller/caBundles.ts';
import type { WebhookConfiguration } from '../../src/kubernetes/kinds.ts';
import { assertLinear } from '../support/growth.ts';

const validity = { notBefore: Date.now(), notAfter: Date.now() + 3_600_000 };
const a = await makeAuthority('a', validity);
const b = await makeAuthority('b', validity);

const configuration = (...bundles: (string | undefined)[]): WebhookConfiguration => ({
  metadata: { name: 'd4c-gate' },
  webhooks: bundles.map((pem, index) => ({
    name: `${index}.d4c-gate.io`,
    clientConfig: pem === undefined ? {} : { caBundle: Buffer.from(pem).toString('base64') },
    sideEffects: 'None',
    admissionReviewVersions: ['v1'],
  })),
});
const read = (...bundles: (string | undefined)[]) =>
  readConfiguration('mutating/x', configuration(...bundles));

for (const [because, pem, certificates, hasGarbage] of [
  ['there is none', '', 0, false],
  ['there are two', a.cert + b.cert, 2, false],
  ['they follow each other without a line feed', a.cert.trim() + b.cert, 2, false],
  ['there is text before one', `subject=a\n${a.cert}`, 1, false],
  ['something follows them', `${a.cert}more`, 1, true],
  ['one is cut off', a.cert + b.cert.slice(0, 300), 1, true],
  ['one has no begin', a.cert + b.cert.slice(40), 1, true],
  ['it is a key', a.key, 0, true],
] as const) {
  test(`reads ${certificates} certificates where ${because}`, () => {
    const bundle = readBundle(pem);
    assert.equal(bundle.certificates.length, certificates);
    assert.equal(bundle.hasGarbage, hasGarbage);
  });
}

test('a certificate is trusted only when every webhook of every configuration has it', () => {
  const both = a.cert + b.cert;
  const isTrusted = (...live: ReturnType<typeof read>[]) => isTrustedByAll(a.certificate, live);
  assert.equal(isTrusted(read(both, a.cert), read(both)), true);
  assert.equal(isTrusted(read(both, b.cert), read(both)), false);
  assert.equal(isTrusted(read(both), read(undefined)), false);
  assert.equal(isTrusted(), true, 'without a configuration nobody calls');
});

test('a bundle is the right one only to the letter and in every webhook', () => {
  assert.equal(hasBundle(read(a.cert, a.cert), a.cert), true);
  assert.equal(hasBundle(read(a.cert, undefined), a.cert), false);
  assert.equal(hasBundle(read(`${a.cert}\n`), a.cert), false);
});

test('reading takes time linear in what anyone wrote there', () => {
  for (const unit of ['-----BEGIN CERTIFICATE-----\n', '-----END CERTIFICATE-----', '-', ' \n']) {
    assertLinear(JSON.stringify(unit), (bytes) => {
      const text = unit.repeat(bytes / unit.length);
      return () => readBundle(text);
    });
  }
});
