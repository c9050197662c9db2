import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { ensureDevCertificates } from '../../src/admission/devCertificates.ts';
import { type Listener, listen } from '../../src/admission/listen.ts';
import { readTlsFiles } from '../../src/admission/tlsFiles.ts';
import { appOf, generationFor, generationsOf, recorded } from './support.ts';

const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
after(() => folder.remove());
const files = await ensureDevCertificates(folder.path, '127.0.0.1');
const ca = await readFile(files.caFile, 'utf8');
const pair = await readTlsFiles(files);
const app = appOf(generationsOf(generationFor({ a: 'team-b' })));

const start = (): Promise<Listener> => listen('127.0.0.1', 0, pair, app);

interface Reply {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
}

/** One request; the body is held back until `proceed` resolves. */
async function ask(
  port: number,
  path: string,
  agent?: Agent,
  body?: string,
  proceed?: Promise<unknown>,
): Promise<Reply> {
  const method = body === undefined ? 'GET' : 'POST';
  const headers = { 'content-type': 'application/json' };
  const asked = request({ host: '127.0.0.1', port, path, method, headers, ca, agent });
  if (proceed !== undefined) {
    asked.write(' ');
    await proceed;
  }
  asked.end(body);
  const [response] = await once(asked, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, headers: response.headers, text };
}

async function handshake(port: number, options: object): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ca, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

test('a client that verifies gets an answer over TLS 1.3, and keeps its connection for 95 s', async (t) => {
  const listener = await start();
  t.after(() => listener.drain(0, 0));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const body = JSON.stringify(recorded('mutate CREATE pods bare'));
  const first = await ask(listener.port, '/mutate', agent, body);
  assert.equal(first.status, 200);
  assert.equal(first.headers['keep-alive'], 'timeout=95');
  assert.equal(JSON.parse(first.text).response.allowed, true);

  const socket = await handshake(listener.port, {});
  assert.equal(socket.getProtocol(), 'TLSv1.3');
  socket.destroy();
});

test('TLS 1.2 is refused, also after the certificate was replaced', async (t) => {
  const listener = await start();
  t.after(() => listener.drain(0, 0));
  const old = { maxVersion: 'TLSv1.2' };
  await assert.rejects(handshake(listener.port, old), /protocol version/);
  listener.useCertificate(pair);
  await assert.rejects(handshake(listener.port, old), /protocol version/);
});

test('a replaced certificate serves new connections', async (t) => {
  await using other = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
  const next = await ensureDevCertificates(other.path, '127.0.0.1');
  const listener = await start();
  t.after(() => listener.drain(0, 0));
  listener.useCertificate(await readTlsFiles(next));
  await assert.rejects(handshake(listener.port, {}), /verify|signature/);
  (await handshake(listener.port, { ca: await readFile(next.caFile, 'utf8') })).destroy();
});

test('what is not HTTP gets an answer in JSON', async (t) => {
  const listener = await start();
  t.after(() => listener.drain(0, 0));
  const socket = await handshake(listener.port, {});
  socket.write('HELO\r\n\r\n');
  const [answer] = await once(socket, 'data');
  assert.match(String(answer), /^HTTP\/1\.1 400 .*"code":"HTTP_FORM"/s);
});

test('while it drains, requests in flight are answered, then every connection closes', async (t) => {
  const listener = await start();
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const unused = await handshake(listener.port, {});
  await ask(listener.port, '/healthz', agent);
  const proceed = Promise.withResolvers<void>();
  const body = JSON.stringify(recorded('mutate CREATE pods bare'));
  const inFlight = ask(listener.port, '/mutate', agent, body, proceed.promise);
  await setTimeout(50);

  const startedAt = performance.now();
  const drained = listener.drain(100, 20_000);
  await setTimeout(10);
  const late = await ask(listener.port, '/healthz');
  assert.equal(late.headers.connection, 'close');
  await setTimeout(200);
  await assert.rejects(ask(listener.port, '/healthz'), /ECONNREFUSED/);
  proceed.resolve();
  assert.equal((await inFlight).status, 200);
  await drained;
  assert.ok(performance.now() - startedAt < 5_000, 'a connection without a request does not hold it up');
  unused.destroy();
});

test('the hard limit cuts off what never ends, and a second call does not wait for the first', async () => {
  const listener = await start();
  const socket = await handshake(listener.port, {});
  socket.on('error', () => undefined);
  const head = 'POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n';
  socket.write(`${head}content-length: 100\r\n\r\n{`);
  await setTimeout(50);
  const drained = listener.drain(60_000, 50);
  await listener.drain(0, 0);
  await drained;
  if (!socket.closed) await once(socket, 'close');
});

test('an address that is taken is an error that says so', async (t) => {
  const listener = await start();
  t.after(() => listener.drain(0, 0));
  await assert.rejects(listen('127.0.0.1', listener.port, pair, app), {
    code: 'LISTEN_FAILED',
    message: /EADDRINUSE/,
  });
});
