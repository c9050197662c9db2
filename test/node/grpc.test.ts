import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream';
import { after, afterEach, before, describe, test } from 'node:test';
import {
  Server as GrpcServer,
  type handleUnaryCall,
  ServerCredentials,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import { type GrpcClient, maxAnswerBytes, openGrpcClient } from '../../src/node/grpc.ts';
import { eventually } from '../support/programs.ts';

const path = '/d4c.test.Echo/Say';
const text = (answer: Uint8Array | undefined): string | undefined =>
  answer && Buffer.from(answer).toString('utf8');

let folder: string;
let socket: string;
const undo: (() => unknown)[] = [];
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'd4c-gate-grpc-'));
});
after(() => rm(folder, { recursive: true, force: true }));
let count = 0;
const newSocket = (): string => {
  socket = join(folder, `${++count}.sock`);
  return socket;
};
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

function client(at = socket): GrpcClient {
  const opened = openGrpcClient(at, 'the server');
  undo.push(() => opened.close());
  return opened;
}

const ask = (of: GrpcClient, words: string, deadlineMs = 5_000, metadata: Record<string, string> = {}) =>
  of.call(path, Buffer.from(words), metadata, deadlineMs);

/** A server of another implementation, at `at`; gives what ends it at once. */
async function serve(handler: handleUnaryCall<Buffer, Buffer>, at = newSocket()): Promise<() => void> {
  const server = new GrpcServer({
    'grpc.max_send_message_length': -1,
    'grpc.max_receive_message_length': -1,
  });
  const as = (bytes: Buffer): Buffer => bytes;
  const say = {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: as,
    requestDeserialize: as,
    responseSerialize: as,
    responseDeserialize: as,
  };
  server.addService({ Say: say }, { Say: handler });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix://${at}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  const end = (): void => server.forceShutdown();
  undo.push(end);
  return end;
}

const echo: handleUnaryCall<Buffer, Buffer> = (call, answer) => answer(null, call.request);
const refusing =
  (code: number, details: string): handleUnaryCall<Buffer, Buffer> =>
  (_call, answer) =>
    answer({ code, details });

/** A server below gRPC: what it does with each connection. */
async function listen(connected: (connection: Socket) => void, at = newSocket()): Promise<Server> {
  const connections = new Set<Socket>();
  const server = createServer((connection) => {
    connections.add(connection);
    connection.on('error', () => undefined);
    connection.on('close', () => connections.delete(connection));
    connected(connection);
  });
  server.listen(at);
  await once(server, 'listening');
  undo.push(() => {
    for (const connection of connections) connection.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return server;
}

/** A server that speaks HTTP/2, and of gRPC what the test makes of it. */
async function answer(stream: (stream: ServerHttp2Stream) => void): Promise<void> {
  const server = createHttp2Server();
  server.on('session', (session) => undo.push(() => session.destroy()));
  server.on('stream', (opened) => {
    opened.on('error', () => undefined);
    stream(opened);
  });
  server.listen(newSocket());
  await once(server, 'listening');
  undo.push(() => server.close());
}

const frame = (bytes: number, content = '', flag = 0): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt8(flag);
  head.writeUInt32BE(bytes, 1);
  return Buffer.concat([head, Buffer.from(content)]);
};

describe('beside another implementation of gRPC', () => {
  test('a call is answered, and its metadata and deadline arrive', async () => {
    let seen: ServerUnaryCall<Buffer, Buffer> | undefined;
    await serve((call, done) => {
      seen = call;
      done(null, Buffer.concat([Buffer.from('to '), call.request]));
    });
    const deadlineMs = 3_000;
    const from = Date.now();
    assert.equal(
      text(await ask(client(), 'you', deadlineMs, { 'containerd-namespace': 'k8s.io' })),
      'to you',
    );
    assert.deepEqual(seen?.metadata.get('containerd-namespace'), ['k8s.io']);
    const left = Number(seen?.getDeadline()) - from;
    assert.ok(left > deadlineMs - 1 && left < deadlineMs + 1_000, `the deadline is ${left} ms away`);
  });

  test('an empty message is an answer', async () => {
    await serve(echo);
    assert.equal(text(await ask(client(), '')), '');
  });

  test('two hundred calls at once are answered, each with its own, over one connection', async () => {
    await serve(echo);
    const inner = socket;
    let connections = 0;
    // A plain relay, so that connections can be counted.
    await listen((connection) => {
      connections++;
      const onward = connect(inner);
      pipeline(connection, onward, connection, () => undefined);
    });
    const asked = client();
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => ask(asked, `n${index}`)));
    assert.deepEqual(
      answers.map(text),
      Array.from({ length: 200 }, (_, index) => `n${index}`),
    );
    assert.equal(connections, 1);
  });

  test('what the server does not have is undefined', async () => {
    await serve(refusing(5, 'no such container'));
    assert.equal(await ask(client(), 'x'), undefined);
  });

  test('another status is an error with the server’s words in one line', async () => {
    await serve(refusing(13, 'the disk\nis “full”'));
    await assert.rejects(ask(client(), 'x'), {
      message: 'the server refused: the disk is “full” (status 13)',
    });
  });

  test('a server that is late is given up at the deadline, and told so', async () => {
    let cancelled = false;
    await serve((call) => {
      call.on('cancelled', () => {
        cancelled = true;
      });
    });
    const from = performance.now();
    await assert.rejects(ask(client(), 'x', 200), { message: 'the server did not answer within 200 ms' });
    const tookMs = performance.now() - from;
    assert.ok(tookMs >= 190 && tookMs < 2_000, `it took ${tookMs} ms`);
    await eventually('the server knows that nobody waits', () => Promise.resolve(cancelled));
  });

  test('a server that was restarted is asked again, without an error', async () => {
    const end = await serve(echo);
    const asked = client();
    assert.equal(text(await ask(asked, 'before')), 'before');
    end();
    await serve(echo, socket);
    assert.equal(text(await ask(asked, 'after')), 'after');
  });

  test('a call that was under way when the server was restarted is asked again', async () => {
    let calls = 0;
    const arrived = Promise.withResolvers<void>();
    const end = await serve((call, done) => {
      if (++calls === 1) done(null, call.request);
      else arrived.resolve();
    });
    const way = join(folder, 'way');
    await symlink(socket, way);
    const asked = client(way);
    await ask(asked, 'first');
    const second = ask(asked, 'second');
    await arrived.promise;
    // The next server is there before the first one ends.
    await rm(way);
    await serve(echo);
    await symlink(socket, way);
    end();
    assert.equal(text(await second), 'second');
  });

  test('an answer of 16 MiB is taken, and a larger one is refused', async () => {
    await serve((call, done) => done(null, Buffer.alloc(Number(call.request.toString()), 'x')));
    const asked = client();
    const largest = await ask(asked, String(maxAnswerBytes), 20_000);
    assert.equal(largest?.length, maxAnswerBytes);
    await assert.rejects(ask(asked, String(maxAnswerBytes + 1), 20_000), {
      message: `the server answers with ${maxAnswerBytes + 1} bytes, more than ${maxAnswerBytes}`,
    });
    assert.equal((await ask(asked, '3'))?.length, 3);
  });
});

test('no server at the socket is an error that says so, and one that comes later is asked', async () => {
  const asked = client(newSocket());
  await assert.rejects(ask(asked, 'x'), { message: /^the server cannot be asked: connect ENOENT / });
  await writeFile(socket, '');
  await assert.rejects(ask(asked, 'x'), { message: /^the server cannot be asked: connect ECONNREFUSED / });
  await rm(socket);
  await serve(echo, socket);
  assert.equal(text(await ask(asked, 'x')), 'x');
});

test('a server that accepts and says nothing is given up with its connection, not asked over it again', async () => {
  let connections = 0;
  let open = 0;
  await listen((connection) => {
    connections++;
    open++;
    connection.on('close', () => open--);
    connection.resume();
  });
  const asked = client();
  await assert.rejects(ask(asked, 'x', 100), { message: 'the server did not answer within 100 ms' });
  await eventually('its connection is closed', () => Promise.resolve(open === 0));
  await Promise.all([1, 2, 3].map((n) => assert.rejects(ask(asked, `x${n}`, 100), /did not answer/)));
  await eventually('the connection of all three is closed', () => Promise.resolve(open === 0));
  assert.equal(connections, 2);
});

test('who waits for a slow server keeps its chance when another call is given up', async () => {
  await serve((call, done) => {
    if (call.request.toString() === 'slow') setTimeout(() => done(null, call.request), 600);
  });
  const asked = client();
  const slow = ask(asked, 'slow', 5_000);
  await assert.rejects(ask(asked, 'never', 100), /did not answer/);
  assert.equal(text(await slow), 'slow');
});

for (const [what, bytes] of [
  ['text', 'HTTP/1.1 400 Bad Request\r\n\r\nwhat?\n'],
  ['random bytes', Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 37 + 11) % 256))],
] as const) {
  test(`a server that answers with ${what} is an error at once`, async () => {
    await listen((connection) => connection.write(bytes));
    const from = performance.now();
    await assert.rejects(ask(client(), 'x', 10_000), { message: /^the server cannot be asked: / });
    assert.ok(performance.now() - from < 5_000);
  });
}

test('a server that hangs up is an error at once', async () => {
  await listen((connection) => connection.destroy());
  await assert.rejects(ask(client(), 'x', 10_000), { message: /^the server cannot be asked: / });
});

describe('an HTTP/2 server that does not keep to gRPC', () => {
  const grpc = { ':status': 200, 'content-type': 'application/grpc' };
  const withTrailers = (stream: ServerHttp2Stream, body: Buffer, trailers: Record<string, string>): void => {
    stream.respond(grpc, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end(body);
  };
  const cases: [string, (stream: ServerHttp2Stream) => void, string | RegExp][] = [
    [
      'another HTTP status',
      (stream) => stream.respond({ ':status': 404 }, { endStream: true }),
      'the server answered with HTTP 404',
    ],
    [
      'another content',
      (stream) => {
        stream.respond({ ':status': 200, 'content-type': 'text/html' });
        stream.end('<html>');
      },
      'the server does not speak gRPC',
    ],
    [
      'no status',
      (stream) => {
        stream.respond(grpc);
        stream.end(frame(1, 'x'));
      },
      'the server ended its answer without a status',
    ],
    [
      'no message',
      (stream) => stream.respond({ ...grpc, 'grpc-status': '0' }, { endStream: true }),
      'the server answered with something else than one message',
    ],
    [
      'half a message',
      (stream) => withTrailers(stream, frame(9, 'half'), { 'grpc-status': '0' }),
      'the server answered with something else than one message',
    ],
    [
      'two messages',
      (stream) => withTrailers(stream, Buffer.concat([frame(1, 'a'), frame(1, 'b')]), { 'grpc-status': '0' }),
      'the server answered with something else than one message',
    ],
    [
      'a compressed message',
      (stream) => withTrailers(stream, frame(1, 'a', 1), { 'grpc-status': '0' }),
      'the server answered with a compressed message',
    ],
    [
      'a status that is no number',
      (stream) => withTrailers(stream, frame(1, 'a'), { 'grpc-status': 'fine' }),
      /^the server refused: /,
    ],
    [
      'a message that is announced as too large',
      (stream) => {
        stream.respond(grpc);
        stream.write(frame(2 ** 32 - 1, 'begins'));
      },
      `the server answers with ${2 ** 32 - 1} bytes, more than ${maxAnswerBytes}`,
    ],
    [
      'an end in the middle',
      (stream) => stream.close(2),
      /Stream closed with error code NGHTTP2_INTERNAL_ERROR/,
    ],
  ];
  for (const [what, behave, message] of cases) {
    test(`${what} is an error`, async () => {
      await answer(behave);
      const from = performance.now();
      await assert.rejects(ask(client(), 'x', 10_000), { message });
      assert.ok(performance.now() - from < 5_000, 'it did not wait for the deadline');
    });
  }

  test('words that are not encoded as they should be are shown as they came, and cut', async () => {
    const trailers = { 'grpc-status': '2', 'grpc-message': `100% ${'x'.repeat(1_000)}` };
    await answer((stream) => stream.respond({ ...grpc, ...trailers }, { endStream: true }));
    await assert.rejects(ask(client(), 'x'), ({ message }: Error) => {
      assert.match(message, /^the server refused: 100% x{295} \(status 2\)$/);
      return true;
    });
  });
});

test('closing rejects who waits, at once, ends the connection, and refuses what is asked later', async () => {
  let open = 0;
  await listen((connection) => {
    open++;
    connection.on('close', () => open--);
    connection.resume();
  });
  const asked = client();
  const waiting = assert.rejects(ask(asked, 'x', 60_000), {
    message: 'the server cannot be asked: it is not needed any more',
  });
  await eventually('it is connected', () => Promise.resolve(open === 1));
  asked.close();
  asked.close();
  await waiting;
  await eventually('the connection is closed', () => Promise.resolve(open === 0));
  await assert.rejects(ask(asked, 'x'), { message: 'the connection to the server is closed' });
});
