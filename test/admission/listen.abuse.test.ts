import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { eventually } from '../support/programs.ts';
import { policiesDirectory, recorded } from './support.ts';

/*
 * The webhook as a process of its own, under the abuse of whoever reaches its port. Each test ends with an honest client
 * that is answered soon, and all of them together with a process that runs and is not larger than a pod may be.
 */

const main = join(import.meta.dirname, '../../src/main.ts');
const maxInFlight = 64;
/** A busy machine is slow, and that alone is no defect; without a bound an answer would come after 30 s or never. */
const soonMs = 5_000;
/** The limit of the chart's pods is 512 MiB. */
const maxRssMiB = 450;

const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
let child: ChildProcess;
let port = 0;
let ca = '';

before(async () => {
  const certs = join(folder.path, 'certs');
  const flags = [
    '--policies',
    policiesDirectory,
    '--listen',
    '127.0.0.1:0',
    '--max-in-flight',
    `${maxInFlight}`,
  ];
  child = spawn(process.execPath, [main, 'serve', ...flags, '--dev-certs', '--certs-dir', certs], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  assert.ok(child.stdout);
  for await (const line of createInterface(child.stdout)) {
    port = Number(/^listening on .*:(\d+)$/.exec(line)?.[1] ?? 0);
    if (port !== 0) break;
  }
  ca = await readFile(join(certs, 'ca.crt'), 'utf8');
});
after(async () => {
  child.kill('SIGKILL');
  await folder.remove();
});

const honest = recorded('mutate CREATE pods bare');
const headOf = (path: string, length: number) =>
  `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n`;

interface Reply {
  status: number;
  ms: number;
  text: string;
}

async function post(path: string, body: string, agent?: Agent): Promise<Reply> {
  const startedAt = performance.now();
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const call = request({
    host: '127.0.0.1',
    port,
    path,
    method: 'POST',
    headers,
    ca,
    agent,
    timeout: 30_000,
  });
  call.on('timeout', () => call.destroy(new Error('no answer in 30 s')));
  call.end(body);
  const [answer] = await once(call, 'response');
  let text = '';
  for await (const chunk of answer) text += chunk;
  return { status: answer.statusCode, ms: performance.now() - startedAt, text };
}

/** Ten honest requests over new connections, as from an API server that just started. */
async function assertOthersAreServed(): Promise<void> {
  for (let index = 0; index < 10; index += 1) {
    const { status, ms, text } = await post('/mutate?timeout=5s', JSON.stringify(honest));
    assert.equal(status, 200, text);
    assert.ok(ms < soonMs, `an honest request took ${Math.round(ms)} ms`);
  }
}

async function metric(series: string): Promise<number> {
  const call = request({ host: '127.0.0.1', port, path: '/metrics', ca, agent: false }).end();
  const [answer] = await once(call, 'response');
  let text = '';
  for await (const chunk of answer) text += chunk;
  return Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1) ?? 0,
  );
}

async function rssMiB(): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

const openFiles = async () => (await readdir(`/proc/${child.pid}/fd`)).length;

function quietly<S extends Socket>(socket: S): S {
  socket.on('error', () => undefined);
  return socket;
}

/** A review with so many requests' worth of a pod. */
function reviewWith(change: (pod: typeof honest.request.object) => void): string {
  const object = structuredClone(honest.request.object);
  change(object);
  return JSON.stringify({ ...honest, request: { ...honest.request, object } });
}

test('three times as many requests as it may work on are answered or shed with an explicit answer', async (t) => {
  const shedBefore = await metric('d4c_gate_admission_shed_total');
  // Annotations that nothing gives: each is checked against the policies as they are on disk.
  const body = reviewWith((pod) => {
    pod.metadata.annotations = { 'd4c-gate.io/policies': 'forged', padding: 'x'.repeat(7_000) };
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 3 * maxInFlight });
  t.after(() => agent.destroy());
  const answers = new Map<string, number>();
  const until = performance.now() + 3_000;
  let largest = 0;
  const clients = Array.from({ length: 3 * maxInFlight }, async () => {
    while (performance.now() < until) {
      const { status, text } = await post('/validate?timeout=10s', body, agent);
      const said = JSON.parse(text);
      const key = `${status} ${said.code ?? `allowed: ${said.response.allowed}`}`;
      answers.set(key, (answers.get(key) ?? 0) + 1);
      largest = Math.max(largest, await rssMiB());
    }
  });
  await Promise.all(clients);
  t.diagnostic(`${JSON.stringify(Object.fromEntries(answers))}, at most ${Math.round(largest)} MiB`);
  assert.deepEqual([...answers.keys()].sort(), ['200 allowed: false', '503 OVERLOADED']);
  assert.equal((await metric('d4c_gate_admission_shed_total')) - shedBefore, answers.get('503 OVERLOADED'));
  assert.ok(largest < maxRssMiB, `${largest} MiB`);
  await assertOthersAreServed();
});

test('bodies that never end, as many as may be worked on, keep nobody out', async (t) => {
  const slow = Array.from({ length: 2 * maxInFlight }, () =>
    quietly(connectTls({ host: '127.0.0.1', port, ca })),
  );
  t.after(() => {
    for (const socket of slow) socket.destroy();
  });
  await Promise.all(slow.map((socket) => once(socket, 'secureConnect')));
  for (const socket of slow) socket.write(`${headOf('/mutate?timeout=30s', 1_000)}\r\n{`);
  const drip = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write(' ');
  }, 200);
  t.after(() => clearInterval(drip));
  // Those that are there take every place, until they are late.
  await eventually(
    'an honest request is answered',
    async () => (await post('/mutate', JSON.stringify(honest))).status === 200,
    soonMs,
  );
  await assertOthersAreServed();
});

test('headers that never end keep nobody out', async (t) => {
  const slow = Array.from({ length: 300 }, () => quietly(connectTls({ host: '127.0.0.1', port, ca })));
  t.after(() => {
    for (const socket of slow) socket.destroy();
  });
  await Promise.all(slow.map((socket) => once(socket, 'secureConnect')));
  const drip = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write('x');
  }, 200);
  for (const socket of slow) socket.write(headOf('/mutate', 10));
  await assertOthersAreServed();
  clearInterval(drip);
});

test('a flood of connections is bounded, and those that send nothing are closed', async (t) => {
  const evictedBefore = await metric('d4c_gate_failures_total{failure="connection_evicted"}');
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const kept = await post('/mutate', JSON.stringify(honest), agent);
  assert.equal(kept.status, 200);
  const flood: Socket[] = [];
  t.after(() => {
    agent.destroy();
    for (const socket of flood) socket.destroy();
  });
  for (let batch = 0; batch < 25; batch += 1) {
    const sockets = Array.from({ length: 100 }, () => quietly(connectTcp(port, '127.0.0.1')));
    flood.push(...sockets);
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  }
  await assertOthersAreServed();
  const evicted = (await metric('d4c_gate_failures_total{failure="connection_evicted"}')) - evictedBefore;
  assert.ok(evicted >= 500, `${evicted} closed`);
  assert.ok((await openFiles()) < 2_200, `${await openFiles()} descriptors`);
  // The connection that was in use before the flood is still the same one.
  const [socket] = Object.values(agent.freeSockets).flat();
  assert.equal((await post('/mutate', JSON.stringify(honest), agent)).status, 200);
  assert.equal(Object.values(agent.freeSockets).flat()[0], socket);
  await eventually('the others are closed', async () => (await openFiles()) < 200, 30_000);
});

test('peers that go without a word in the middle of anything leave nothing behind', async () => {
  const filesBefore = await openFiles();
  for (const text of ['', 'POST', headOf('/mutate', 10), `${headOf('/mutate', 1_000)}\r\n{"a"`]) {
    const tcp = Array.from({ length: 20 }, () => quietly(connectTcp(port, '127.0.0.1')));
    await Promise.all(
      tcp.map(async (socket) => {
        const secure = quietly(connectTls({ socket, host: '127.0.0.1', ca }));
        await once(secure, 'secureConnect');
        if (text !== '') await new Promise((resolve) => secure.write(text, resolve));
      }),
    );
    for (const socket of tcp) socket.resetAndDestroy();
  }
  await eventually('all are closed', async () => (await openFiles()) <= filesBefore + 5, 10_000);
  await assertOthersAreServed();
});

test('the largest of everything is judged, several at a time, within the memory of a pod', async (t) => {
  const text = 'x'.repeat(255);
  const largest = {
    'an object of 3 MiB': reviewWith((pod) => {
      pod.spec.env = Array.from({ length: 12_000 }, (_, index) => ({ name: `n${index}`, value: text }));
    }),
    '1,000 containers': reviewWith((pod) => {
      pod.spec.containers = Array.from({ length: 1_000 }, (_, index) => ({
        name: `c${index}`,
        image: `registry.example/team-${index}/web:${index}`,
      }));
    }),
    '256 KiB of annotations': reviewWith((pod) => {
      const keys = Array.from({ length: 1_000 }, (_, index) => [`key-${index}`, text]);
      pod.metadata.annotations = Object.fromEntries(keys);
    }),
    'an image of 1 MiB': reviewWith((pod) => {
      pod.spec.containers[0] = { name: 'c', image: 'a/'.repeat(512 * 1024) };
    }),
  };
  assert.ok(largest['an object of 3 MiB'].length > 3 << 20);
  let [isOver, memory] = [false, 0];
  const others = (async () => {
    while (!isOver) {
      await assertOthersAreServed();
      memory = Math.max(memory, await rssMiB());
    }
  })();
  for (const [what, body] of Object.entries(largest)) {
    const replies = await Promise.all(Array.from({ length: 8 }, () => post('/mutate?timeout=10s', body)));
    for (const { status, ms } of replies) {
      assert.equal(status, 200, what);
      assert.ok(ms < 2 * soonMs, `${what}: ${Math.round(ms)} ms`);
    }
  }
  isOver = true;
  await others;
  t.diagnostic(`at most ${Math.round(memory)} MiB`);
  assert.ok(memory < maxRssMiB, `${memory} MiB`);
});

test('more bytes than it may hold are shed with an explicit answer', async (t) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  t.after(() => agent.destroy());
  const body = reviewWith((pod) => {
    pod.spec.padding = 'x'.repeat(6 << 20);
  });
  // Before any of them: the answer may come after all of their bytes.
  const shedBefore = await metric('d4c_gate_admission_shed_total');
  // All but the last byte of each, so that they are held at the same time.
  const proceed = Promise.withResolvers<void>();
  const calls = Array.from({ length: 14 }, async () => {
    const headers = { 'content-type': 'application/json', 'content-length': body.length };
    const call = request({ host: '127.0.0.1', port, path: '/mutate', method: 'POST', headers, ca, agent });
    call.write(body.slice(0, -1));
    await proceed.promise;
    call.end(body.slice(-1));
    const [answer] = await once(call, 'response');
    answer.resume();
    await once(answer, 'end');
    return answer.statusCode;
  });
  await eventually(
    'some are shed',
    async () => (await metric('d4c_gate_admission_shed_total')) > shedBefore,
    20_000,
  );
  proceed.resolve();
  const statuses = await Promise.all(calls);
  assert.deepEqual([...new Set(statuses)].sort(), [200, 503]);
  assert.ok((await rssMiB()) < maxRssMiB, `${await rssMiB()} MiB`);
  await assertOthersAreServed();
});

test('none of it ended the process, and it still ends as it should', async () => {
  assert.equal(child.exitCode, null);
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
});
