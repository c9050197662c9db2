import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import request from 'supertest';
import { maxBodyBytes } from '../../src/admission/body.ts';
import { createApp } from '../../src/admission/server.ts';
import { appOf, cluster, generationFor, generationsOf, recorded } from './support.ts';

const generations = generationsOf(generationFor({ a: 'team-b' }));
const app = appOf(generations);

const pod = recorded('mutate CREATE pods bare');
const withRequest = (changes: object) => ({ ...pod, request: { ...pod.request, ...changes } });
const nested = (depth: number): string => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;

/** Bodies that cannot be judged: what is sent, the answer, and why. With a UID the answer is an AdmissionReview. */
const badBodies: [
  because: string,
  body: string | Buffer | object,
  status: number,
  code: string,
  uid?: boolean,
][] = [
  ['it is empty', '', 400, 'REVIEW_NOT_JSON'],
  ['it is not JSON', '{"kind":', 400, 'REVIEW_NOT_JSON'],
  ['it is not UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22]), 400, 'REVIEW_NOT_JSON'],
  ['it is JSON null', 'null', 400, 'REVIEW_FORM'],
  ['it is an array', '[]', 400, 'REVIEW_FORM'],
  ['it is a string', '"AdmissionReview"', 400, 'REVIEW_FORM'],
  ['it is another kind', { apiVersion: 'v1', kind: 'Pod' }, 400, 'REVIEW_FORM'],
  ['it is a deep array', nested(200_000), 400, 'REVIEW_FORM'],
  ['its kind comes by a prototype', '{"__proto__":{"kind":"AdmissionReview"}}', 400, 'REVIEW_FORM'],
  ['its request is null', { ...pod, request: null }, 400, 'REVIEW_FORM'],
  ['its request is an array', { ...pod, request: [] }, 400, 'REVIEW_FORM'],
  ['its request comes by a prototype', { ...pod, request: { __proto__: pod.request } }, 400, 'REVIEW_FORM'],
  ['its uid is a number', withRequest({ uid: 1 }), 400, 'REVIEW_FORM'],
  ['its uid is longer than any', withRequest({ uid: 'u'.repeat(129) }), 400, 'REVIEW_FORM'],
  ['it is v1beta1', { ...pod, apiVersion: 'admission.k8s.io/v1beta1' }, 400, 'REVIEW_VERSION', true],
  ['it has no kind', { ...pod, kind: undefined }, 400, 'REVIEW_FORM', true],
  ['its object is null', withRequest({ object: null }), 422, 'REVIEW_OBJECT', true],
  ['its object is absent', withRequest({ object: undefined }), 422, 'REVIEW_OBJECT', true],
  ['its object is an array', withRequest({ object: [] }), 422, 'REVIEW_OBJECT', true],
  ['its object has no metadata', withRequest({ object: { spec: {} } }), 422, 'REVIEW_OBJECT', true],
  ['its metadata is a text', withRequest({ object: { metadata: 'x' } }), 422, 'REVIEW_OBJECT', true],
  ['its name is a number', withRequest({ object: { metadata: { name: 7 } } }), 422, 'REVIEW_OBJECT', true],
  [
    'its annotations are a list',
    withRequest({ object: { metadata: { annotations: [] } } }),
    422,
    'REVIEW_OBJECT',
    true,
  ],
  [
    'a label is a number',
    withRequest({ object: { metadata: { labels: { a: 1 } } } }),
    422,
    'REVIEW_OBJECT',
    true,
  ],
  [
    'its containers are no list',
    withRequest({ object: { metadata: {}, spec: { containers: {} } } }),
    422,
    'REVIEW_OBJECT',
    true,
  ],
];

for (const hook of ['/mutate', '/validate']) {
  for (const [because, body, status, code, hasUid = false] of badBodies) {
    test(`${hook} answers a body with ${status} ${code} because ${because}`, async () => {
      const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
      const reply = await request(app)
        .post(hook)
        .set('content-type', 'application/json')
        .serialize((sent) => sent)
        .send(text as string);
      assert.equal(reply.status, status, reply.text);
      assert.doesNotMatch(reply.text, /\.ts:\d|node_modules|\bat /);
      if (!hasUid) return assert.equal(reply.body.code, code);
      assert.equal(reply.body.apiVersion, 'admission.k8s.io/v1');
      assert.equal(reply.body.kind, 'AdmissionReview');
      const { uid, allowed, status: told } = reply.body.response;
      assert.deepEqual([uid, allowed, told.code, told.reason], [pod.request.uid, false, status, code]);
      assert.match(told.message, new RegExp(`\\(${code}\\)$`));
    });
  }
}

const review = JSON.stringify(pod);

/** Requests that are wrong before their body counts. */
const badRequests: [
  method: 'get' | 'put' | 'post',
  path: string,
  headers: Record<string, string>,
  status: number,
  code: string,
][] = [
  ['get', '/mutate', {}, 405, 'HTTP_METHOD'],
  ['put', '/validate', {}, 405, 'HTTP_METHOD'],
  ['post', '/healthz', {}, 405, 'HTTP_METHOD'],
  ['post', '/metrics', {}, 405, 'HTTP_METHOD'],
  ['post', '/', {}, 404, 'HTTP_PATH'],
  ['post', '/mutate/x', {}, 404, 'HTTP_PATH'],
  ['post', '/%', {}, 404, 'HTTP_PATH'],
  ['get', '/__proto__', {}, 404, 'HTTP_PATH'],
  ['post', '/mutate', { 'content-type': 'text/plain' }, 415, 'REVIEW_CONTENT_TYPE'],
  ['post', '/mutate', { 'content-type': 'application/yaml' }, 415, 'REVIEW_CONTENT_TYPE'],
  [
    'post',
    '/mutate',
    { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    415,
    'REVIEW_CONTENT_TYPE',
  ],
];

for (const [method, path, headers, status, code] of badRequests) {
  test(`${method} ${path} with ${JSON.stringify(headers)} is answered with ${status} ${code}`, async () => {
    const asked = request(app)[method](path).set(headers);
    const reply = await (method === 'get' ? asked : asked.serialize((sent) => sent).send(review));
    assert.equal(reply.status, status);
    assert.equal(reply.body.code, code);
    if (status === 405) assert.match(reply.headers.allow ?? '', /^(POST|GET, HEAD)$/);
  });
}

test('a content type with parameters is JSON as well', async () => {
  await request(app)
    .post('/mutate')
    .set('content-type', 'Application/JSON; charset=utf-8')
    .send(review)
    .expect(200);
});

test('a body of 7 MiB is read, and one byte more is refused, announced or not', async (t) => {
  const envelope = JSON.stringify(withRequest({ padding: '' }));
  const padded = envelope.replace(
    '"padding":""',
    `"padding":"${'x'.repeat(maxBodyBytes - envelope.length)}"`,
  );
  assert.equal(padded.length, maxBodyBytes);
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const chunked = (text: string) => new Blob([text]).stream();
  const send = async (body: string | ReadableStream): Promise<[number, string]> => {
    const headers = { 'content-type': 'application/json' };
    const url = `http://127.0.0.1:${port}/mutate`;
    const reply = await fetch(url, { method: 'POST', headers, body, duplex: 'half' });
    return [reply.status, ((await reply.json()) as { code: string }).code];
  };
  assert.deepEqual(await send(padded), [200, undefined]);
  assert.deepEqual(await send(chunked(padded)), [200, undefined]);
  assert.deepEqual(await send(`${padded} `), [413, 'REVIEW_TOO_LARGE']);
  assert.deepEqual(await send(chunked(`${padded} `)), [413, 'REVIEW_TOO_LARGE']);
});

test('a body that breaks off, is garbage, or comes with a forged length leaves the server well', async (t) => {
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const head = 'POST /mutate HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n';
  for (const text of [
    `${head}content-length: 1000\r\n\r\n{"kind":`,
    `${head}transfer-encoding: chunked\r\n\r\nffff\r\n{`,
    `${head}transfer-encoding: chunked\r\n\r\nzz\r\n{`,
    `${head}content-length: 99999999999999999999\r\n\r\n{`,
    '\0\0\0\0\r\n\r\n',
  ]) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write(text, () => setImmediate(() => socket.destroy()));
    await once(socket, 'close');
  }
  const reply = await fetch(`http://127.0.0.1:${port}/mutate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: review,
  });
  assert.equal(reply.status, 200);
});

test('an error of ours is answered with 500 and the uid, without detail', async () => {
  const broken = generationsOf(generationFor({}));
  const failing = appOf({
    ...broken,
    current: () => {
      throw new Error('secret detail');
    },
  });
  const reply = await request(failing).post('/mutate').set('content-type', 'application/json').send(review);
  assert.equal(reply.status, 500);
  assert.equal(reply.body.response.uid, pod.request.uid);
  assert.equal(reply.body.response.allowed, false);
  assert.doesNotMatch(reply.text, /secret/);
});

test('operations that write no pod are allowed without a patch', async () => {
  for (const changes of [
    { operation: 'DELETE', object: null },
    { operation: 'CONNECT' },
    { operation: 'made up' },
    { resource: { group: '', version: 'v1', resource: 'secrets' }, object: null },
    { resource: { group: 'metrics.k8s.io', version: 'v1', resource: 'pods' } },
    { resource: null },
    { subResource: 'status' },
  ]) {
    for (const hook of ['/mutate', '/validate']) {
      const reply = await request(app).post(hook).send(withRequest(changes)).expect(200);
      assert.deepEqual(reply.body.response, { uid: pod.request.uid, allowed: true });
    }
  }
});

test('/healthz lives, /readyz fails while draining, and both say so in JSON', async () => {
  await request(app).get('/healthz').expect(200, { status: 'ok' });
  await request(app).get('/readyz').expect(200, { status: 'ready', generation: 1 });
  await request(app).head('/readyz').expect(200);
  const draining = createApp({ generations, cluster, isReady: () => false });
  await request(draining).get('/readyz').expect(503, { status: 'draining', generation: 1 });
  await request(draining).get('/healthz').expect(200);
  await request(draining).post('/mutate').send(pod).expect(200);
});

test('/metrics counts requests under bounded labels', async () => {
  await request(app)
    .post('/mutate')
    .send(withRequest({ dryRun: true }));
  await request(app)
    .post('/mutate')
    .send(withRequest({ operation: 'HACK', subResource: 'x"}\n' }));
  const { text } = await request(app)
    .get('/metrics')
    .expect(200)
    .expect('content-type', /^text\/plain/);
  const series = 'd4c_gate_admission_requests_total';
  assert.match(
    text,
    new RegExp(
      `^${series}\\{operation="CREATE",resource="pods",decision="patched",dry_run="true"\\} [1-9]`,
      'm',
    ),
  );
  assert.match(
    text,
    new RegExp(`^${series}\\{operation="other",resource="other",decision="allowed",dry_run="false"\\} `, 'm'),
  );
  assert.match(text, /^d4c_gate_admission_duration_seconds_bucket\{le="0\.005",hook="mutate"\} \d/m);
  assert.doesNotMatch(text, /HACK/);
});
