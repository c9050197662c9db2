import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { Connection } from '../../src/kubernetes/connection.ts';
import { hasStatus, KubernetesError, makeTransport, type Transport } from '../../src/kubernetes/transport.ts';

const call = { method: 'GET', path: '/x' } as const;
const limits = (lifeMs = 5_000) => ({ deadlineMs: 1_000, lifeMs, signal: new AbortController().signal });

/** A transport to a server on this machine that answers as told. */
async function withServer(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  body: (transport: Transport, forgotten: () => number) => Promise<void>,
): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  let forgotten = 0;
  const connection: Connection = {
    server: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    namespace: undefined,
    credentials: async () => ({ headers: { authorization: 'Bearer t' }, dispatcher: undefined }),
    forgetCredentials: () => {
      forgotten += 1;
    },
    close: () => undefined,
  };
  try {
    await body(await makeTransport(connection), () => forgotten);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function errorOf(promise: Promise<unknown>): Promise<KubernetesError> {
  const error = await promise.then(
    () => assert.fail('it did not fail'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KubernetesError, String(error));
  return error;
}

async function collect(lines: Promise<AsyncIterable<string>>): Promise<string[]> {
  const all: string[] = [];
  for await (const line of await lines) all.push(line);
  return all;
}

test('sends the credentials, the body and its type', () =>
  withServer(
    (request, response) => {
      const { authorization, 'content-type': type } = request.headers;
      request.setEncoding('utf8');
      let text = '';
      request.on('data', (part: string) => {
        text += part;
      });
      request.on('end', () =>
        response.end(JSON.stringify([request.method, request.url, authorization, type, text])),
      );
    },
    async (transport) => {
      const query = { a: 'b c', absent: undefined };
      const patch = {
        ...call,
        method: 'PATCH',
        query,
        body: { x: 1 },
        contentType: 'application/merge-patch+json',
      } as const;
      assert.deepEqual(await transport.send(patch, 1_000), [
        'PATCH',
        '/x?a=b+c',
        'Bearer t',
        'application/merge-patch+json',
        '{"x":1}',
      ]);
    },
  ));

test('an error says status, reason, the sentence of the server, and when to come back', () =>
  withServer(
    (_, response) => {
      response.writeHead(429, { 'retry-after': '7' });
      response.end(JSON.stringify({ kind: 'Status', reason: 'TooManyRequests', message: 'slow\ndown' }));
    },
    async (transport) => {
      const error = await errorOf(transport.send(call, 1_000));
      assert.equal(hasStatus(error, 429), true);
      assert.equal(hasStatus(error, 404), false);
      assert.deepEqual(
        [error.code, error.reason, error.retryAfterMs, error.message],
        ['KUBERNETES_REFUSED', 'TooManyRequests', 7_000, 'GET /x: 429 slow down'],
      );
    },
  ));

test('credentials that were refused are read again', () =>
  withServer(
    (_, response) => response.writeHead(401).end('<html>no</html>'),
    async (transport, forgotten) => {
      assert.equal((await errorOf(transport.send(call, 1_000))).message, 'GET /x: 401 <html>no</html>');
      assert.equal(forgotten(), 1);
    },
  ));

test('a server that never answers, or never ends its answer, meets the deadline', () =>
  withServer(
    (request, response) => {
      if (request.url === '/half') response.write('{');
    },
    async (transport) => {
      for (const path of ['/none', '/half']) {
        const started = performance.now();
        const error = await errorOf(transport.send({ ...call, path }, 200));
        assert.deepEqual([error.code, error.status], ['KUBERNETES_UNREACHABLE', 0]);
        assert.match(error.message, /no answer within 200 ms/);
        assert.ok(performance.now() - started < 2_000);
      }
    },
  ));

test('an answer that is not JSON is an error with a code', () =>
  withServer(
    (_, response) => response.end('<html>'),
    async (transport) =>
      assert.equal((await errorOf(transport.send(call, 1_000))).code, 'KUBERNETES_UNREACHABLE'),
  ));

test('splits lines wherever the network cuts them, and drops a last one that was cut off', () =>
  withServer(
    (_, response) => {
      const bytes = Buffer.from('{"é":1}\n\n{"b":2}\n{"cut');
      for (const byte of bytes) response.write(Buffer.from([byte]));
      response.end();
    },
    async (transport) =>
      assert.deepEqual(await collect(transport.lines(call, limits())), ['{"é":1}', '{"b":2}']),
  ));

test('lines that never end are ended, and so are those that nobody wants any more', () =>
  withServer(
    (_, response) => response.write('1\n'),
    async (transport) => {
      assert.match((await errorOf(collect(transport.lines(call, limits(200))))).message, /silent/);
      const wanted = new AbortController();
      const lines = await transport.lines(call, { ...limits(), signal: wanted.signal });
      setTimeout(() => wanted.abort(), 50);
      assert.equal((await errorOf(collect(Promise.resolve(lines)))).status, 0);
    },
  ));
