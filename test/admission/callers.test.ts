import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect } from 'node:tls';
import { followClientAuthorities, readClientAuthorities } from '../../src/admission/callers.ts';
import { listen } from '../../src/admission/listen.ts';
import { createApp } from '../../src/admission/server.ts';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import { failuresTotal } from '../../src/metrics.ts';
import { type ClientCertificate, issueClient } from '../support/clientCertificates.ts';
import { eventually } from '../support/programs.ts';
import { cluster, generationFor, generationsOf, recorded } from './support.ts';

const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
const validity = { notBefore: Date.now() - 3_600_000, notAfter: Date.now() + 86_400_000 };
const serving = await makeAuthority('serving', validity);
const trusted = await makeAuthority('cluster CA', validity);
const stranger = await makeAuthority('cluster CA', validity);
const next = await makeAuthority('next CA', validity);
const names = ['kube-apiserver', 'spiffe://cluster/api server'];
const app = createApp({
  generations: generationsOf(generationFor({ a: 'team-b' })),
  cluster,
  isReady: () => true,
  callers: names,
});
const pair = await issueLeaf(serving, ['127.0.0.1'], validity);
const listener = await listen('127.0.0.1', 0, pair, app, { clientAuthorities: trusted.cert });
after(async () => {
  await listener.drain(0, 0);
  await folder.remove();
});

const review = JSON.stringify(recorded('mutate CREATE pods bare'));
type Identity = { cert: string; key: string } | undefined;

async function ask(path: string, identity: Identity): Promise<{ status: number; message: string }> {
  const method = path === '/mutate' ? 'POST' : 'GET';
  const headers = { 'content-type': 'application/json' };
  const { port } = listener;
  const asked = request({
    ...{ host: '127.0.0.1', port, path, method, headers, ca: serving.cert, agent: false },
    ...identity,
  });
  asked.end(method === 'POST' ? review : undefined);
  const [response] = await once(asked, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return {
    status: response.statusCode,
    message: path === '/metrics' ? '' : (JSON.parse(text).message ?? ''),
  };
}

const apiServer = issueClient(trusted, { commonName: 'kube-apiserver' });
const certificateOf = (wanted: Partial<ClientCertificate>, authority = trusted) =>
  issueClient(authority, { commonName: 'somebody', ...wanted });

/** What a caller shows, and how it is answered. */
const callers: [because: string, identity: Identity, status: number, message: RegExp][] = [
  ['its common name is listed', apiServer, 200, /^$/],
  ['an alternative name is listed', certificateOf({ dnsNames: ['a.example', 'kube-apiserver'] }), 200, /^$/],
  ['a URI is listed', certificateOf({ uris: ['spiffe://cluster/api server'] }), 200, /^$/],
  ['it has none', undefined, 403, /a client certificate is required/],
  [
    'another authority of the same name signed it',
    certificateOf({ commonName: 'kube-apiserver' }, stranger),
    403,
    /is refused: /,
  ],
  [
    'it has expired',
    certificateOf({ commonName: 'kube-apiserver', lastsMs: -60_000 }),
    403,
    /is refused: CERT_HAS_EXPIRED/,
  ],
  [
    'it is one of a server',
    certificateOf({ commonName: 'kube-apiserver', usage: 'serverAuth' }),
    403,
    /is refused: INVALID_PURPOSE/,
  ],
  ['it names somebody else', certificateOf({ dnsNames: ['b'] }), 403, /is for `somebody`, `b`, which/],
  [
    'a name only begins like a listed one',
    certificateOf({ commonName: 'kube-apiserver.evil' }),
    403,
    /is for `kube-apiserver\.evil`/,
  ],
  [
    'one name looks like several',
    certificateOf({ uris: ['x, DNS:kube-apiserver, y'] }),
    403,
    /is for `somebody`, which/,
  ],
];

for (const [because, identity, status, message] of callers) {
  test(`a hook answers a caller with ${status} because ${because}`, async () => {
    const reply = await ask('/mutate', identity);
    assert.equal(reply.status, status, reply.message);
    assert.match(reply.message, message);
  });
}

test('health and metrics are open to callers without a certificate', async () => {
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    assert.equal((await ask(path, undefined)).status, 200, path);
  }
});

test('a refused caller is counted', async () => {
  const counted = async () =>
    (await failuresTotal.get()).values.find(({ labels }) => labels.failure === 'caller_refused')?.value ?? 0;
  const before = await counted();
  await ask('/mutate', undefined);
  assert.equal((await counted()) - before, 1);
});

test('a resumed session without a certificate is refused as the first one was', async () => {
  const options = { host: '127.0.0.1', port: listener.port, ca: serving.cert };
  const post = `POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${review.length}\r\n\r\n${review}`;
  const first = connect(options);
  first.write(post);
  const [[session], [refused]] = await Promise.all([once(first, 'session'), once(first, 'data')]);
  first.destroy();
  assert.match(String(refused), /^HTTP\/1\.1 403/);
  const second = connect({ ...options, session });
  await once(second, 'secureConnect');
  assert.ok(second.isSessionReused(), 'the session was not resumed, so this shows nothing');
  second.write(post);
  const [answer] = await once(second, 'data');
  second.destroy();
  assert.match(String(answer), /^HTTP\/1\.1 403 .*CALLER_REFUSED/s);
});

test('the file of authorities is followed, and one that is damaged changes nothing', async (t) => {
  const file = join(folder.path, 'ca.crt');
  await writeFile(file, trusted.cert);
  const used: string[] = [];
  const following = followClientAuthorities(
    file,
    await readClientAuthorities(file),
    (authorities) => {
      used.push(authorities);
      listener.useClientAuthorities(authorities);
    },
    50,
  );
  t.after(() => {
    following.close();
    listener.useClientAuthorities(trusted.cert);
  });
  const newcomer = issueClient(next, { commonName: 'kube-apiserver' });
  assert.equal((await ask('/mutate', newcomer)).status, 403);
  await writeFile(file, `${trusted.cert}${next.cert}`);
  await eventually('it is trusted', async () => (await ask('/mutate', newcomer)).status === 200);
  assert.equal((await ask('/mutate', apiServer)).status, 200);
  await writeFile(file, next.cert.replace('MII', 'MIX'));
  await eventually('it was looked at', async () => {
    const { values } = await failuresTotal.get();
    return values.some(({ labels, value }) => labels.failure === 'tls_reload_refused' && value > 0);
  });
  assert.equal(used.length, 1);
  assert.equal((await ask('/mutate', newcomer)).status, 200);
});

test('a file without a certificate, or with a damaged one, is an error that names it', async () => {
  const missing = join(folder.path, 'missing');
  await assert.rejects(readClientAuthorities(missing), { code: 'FILE_UNREADABLE', message: /missing/ });
  const file = join(folder.path, 'bad.crt');
  await writeFile(file, pair.key);
  await assert.rejects(readClientAuthorities(file), {
    code: 'TLS_UNUSABLE',
    message: /holds no certificate/,
  });
  await writeFile(file, `${trusted.cert}${trusted.cert.replace('MII', 'MIX')}`);
  await assert.rejects(readClientAuthorities(file), {
    code: 'TLS_UNUSABLE',
    message: /certificate 2 of .*damaged/,
  });
});
