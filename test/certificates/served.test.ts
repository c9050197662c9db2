import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import type { CertificatePair } from '../../src/certificates/pair.ts';
import { keepServed } from '../../src/certificates/served.ts';
import { failuresTotal, registry } from '../../src/metrics.ts';

const hour = 3_600_000;
const now = Date.now();
const authority = await makeAuthority('test CA', { notBefore: now - hour, notAfter: now + 90 * hour });
const leafUntil = (hours: number) =>
  issueLeaf(authority, ['localhost'], { notBefore: now - 9 * hour, notAfter: now + hours * hour });
const good = await leafUntil(10);
const better = await leafUntil(20);
const expired = await leafUntil(-1);

async function refused(): Promise<number> {
  const { values } = await failuresTotal.get();
  return values.find(({ labels }) => labels.failure === 'tls_reload_refused')?.value ?? 0;
}

const notAfter = async () =>
  Number(/^d4c_gate_admission_cert_not_after_timestamp_seconds (\S+)$/m.exec(await registry.metrics())?.[1]);

test('serves each other pair once, and says when it ends', async () => {
  const used: CertificatePair[] = [];
  const served = keepServed((pair) => used.push(pair));
  for (const pair of [good, good, better, better]) await served.renew(async () => pair);
  assert.deepEqual(used, [good, better]);
  assert.equal(served.current, better);
  assert.equal(await notAfter(), better.notAfter / 1000);
});

test('keeps the last one when the next cannot be read, and counts each reason once', async () => {
  const used: CertificatePair[] = [];
  const served = keepServed((pair) => used.push(pair), good);
  const before = await refused();
  const fail = (reason: string) => served.renew(() => Promise.reject(new Error(reason)));
  for (const reason of ['a', 'a', 'a', 'b']) await fail(reason);
  assert.equal((await refused()) - before, 2);
  await served.renew(async () => better);
  await fail('b');
  assert.equal((await refused()) - before, 3);
  assert.deepEqual(used, [better]);
});

test('does not replace a certificate by one that has expired, unless it has expired itself', async () => {
  const used: CertificatePair[] = [];
  const served = keepServed((pair) => used.push(pair), good);
  await served.renew(async () => expired);
  assert.equal(used.length, 0);
  assert.equal(served.current, good);

  const late = keepServed(
    (pair) => used.push(pair),
    good,
    () => now + 11 * hour,
  );
  await late.renew(async () => expired);
  assert.deepEqual(used, [expired], 'both are of no use; the newest shows what the source has');
});
