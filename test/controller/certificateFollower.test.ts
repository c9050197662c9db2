import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import type { CertificatePair } from '../../src/certificates/pair.ts';
import { type CertificateMode, followSecret } from '../../src/controller/certificateFollower.ts';
import { writeState } from '../../src/controller/certificateSecret.ts';
import type { Cluster } from '../../src/kubernetes/client.ts';
import type { Secret } from '../../src/kubernetes/kinds.ts';
import { eventually } from '../support/programs.ts';

const now = Date.now();
const validity = { notBefore: now - 3_600_000, notAfter: now + 3_600_000 };
const authorities = await Promise.all(['a', 'b'].map((name) => makeAuthority(name, validity)));
const [authority] = authorities as [CertificatePair, CertificatePair];
const stranger = await makeAuthority('stranger', validity);
const leaf = await issueLeaf(authority, ['localhost'], validity);
const next = await issueLeaf(authority, ['localhost'], validity);
const foreign = await issueLeaf(stranger, ['localhost'], validity);

let version = 0;
function secretOf(data: Readonly<Record<string, string>> | undefined): Secret {
  version += 1;
  return { metadata: { name: 's', resourceVersion: String(version) }, data: data && { ...data } };
}
const own = (pair: CertificatePair) => secretOf(writeState({ authorities, leaf: pair }));
/** As cert-manager or an operator writes it. */
const plain = (pair: CertificatePair) => secretOf(writeState({ authorities: [], leaf: pair }));

/** Follows what `state.secret` is at each moment; an error stands for an API server that is away. */
function follow(mode: CertificateMode, start: Secret | Error | undefined) {
  const state = { secret: start, reads: 0 };
  const find = async () => {
    state.reads += 1;
    if (state.secret instanceof Error) throw state.secret;
    return state.secret;
  };
  const over = new AbortController();
  const pairs: CertificatePair[] = [];
  const first = followSecret({ find } as unknown as Pick<Cluster, 'find'>, {
    mode,
    name: 's',
    namespace: 'n',
    onPair: (pair) => pairs.push(pair),
    everyMs: 5,
    signal: over.signal,
  });
  const looksAgain = async () => {
    const { reads } = state;
    await eventually('it looks again', async () => state.reads >= reads + 2, 2_000);
  };
  return { state, first, pairs, looksAgain, end: () => over.abort() };
}

for (const [mode, secretFor] of [
  ['self', own],
  ['cert-manager', plain],
  ['provided', plain],
] as const) {
  test(`gives the first certificate and then each further one: ${mode}`, async () => {
    const { state, first, pairs, looksAgain, end } = follow(mode, secretFor(leaf));
    assert.equal((await first).cert, leaf.cert);
    await looksAgain();
    assert.deepEqual(pairs, []);
    state.secret = secretFor(next);
    await looksAgain();
    assert.deepEqual(
      pairs.map(({ cert }) => cert),
      [next.cert],
    );
    end();
  });

  test(`waits while there is no Secret, an empty one, garbage or no API server: ${mode}`, async () => {
    const { state, first, pairs, looksAgain, end } = follow(mode, undefined);
    const garbage = secretOf({ 'tls.crt': 'Z2FyYmFnZQ==', 'tls.key': '' });
    for (const secret of [secretOf(undefined), secretOf({}), garbage, new Error('ECONNREFUSED')]) {
      await looksAgain();
      state.secret = secret;
    }
    await looksAgain();
    state.secret = secretFor(leaf);
    assert.equal((await first).cert, leaf.cert);
    assert.deepEqual(pairs, []);
    end();
  });

  test(`keeps the last certificate whatever becomes of the Secret: ${mode}`, async () => {
    const { state, first, pairs, looksAgain, end } = follow(mode, secretFor(leaf));
    await first;
    const { 'tls.key': _, ...withoutKey } = writeState({ authorities, leaf: next });
    for (const secret of [undefined, secretOf(undefined), secretOf(withoutKey), new Error('ECONNRESET')]) {
      state.secret = secret;
      await looksAgain();
    }
    assert.deepEqual(pairs, []);
    state.secret = secretFor(next);
    await looksAgain();
    assert.deepEqual(
      pairs.map(({ cert }) => cert),
      [next.cert],
    );
    end();
  });
}

test('in mode self a leaf that no authority of the Secret signed is not served', async () => {
  const { state, first, pairs, looksAgain, end } = follow('self', own(leaf));
  await first;
  state.secret = secretOf({ ...writeState({ authorities, leaf: foreign }) });
  await looksAgain();
  assert.deepEqual(pairs, []);
  end();
});

test('ends when it is told to, also while it waits for the first', async () => {
  const { first, end } = follow('self', undefined);
  end();
  await assert.rejects(first, { name: 'AbortError' });
});
