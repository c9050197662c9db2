import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Listener, listen } from '../../src/admission/listen.ts';
import { followSecret } from '../../src/controller/certificateFollower.ts';
import { readState } from '../../src/controller/certificateSecret.ts';
import { dayMs } from '../../src/controller/certificateStep.ts';
import { keepCertificates } from '../../src/controller/certificates.ts';
import type { Cluster } from '../../src/kubernetes/client.ts';
import { objectsInMemory } from '../support/certificateObjects.ts';
import { eventually } from '../support/programs.ts';
import { startLoad } from '../support/strictClient.ts';

const servername = 'd4c-gate.gate.svc';
const perSecond = 1_000;
const replicas = 3;
/** A day of certificates' time; replicas look every 50 ms, and the client hears of a new bundle 60 ms late. */
const dayInRealMs = 40;

/**
 * Days go by in milliseconds. Certificates begin two years early, so that OpenSSL, which only knows the machine's
 * clock, accepts them; that they have not ended by the clock of the test, the client checks itself. API servers settle in
 * real time: a handshake that began with the last bundle must end before the next leaf comes, also on a busy machine.
 */
const times = { leafMs: 30 * dayMs, authorityMs: 120 * dayMs, backdateMs: 730 * dayMs, settleMs: 1_000 };

test('no request fails while 3 authorities and 10 leaves rotate, and then the Secret is deleted, at 1,000 requests per second', {
  timeout: 120_000,
}, async (t) => {
  const clock = { now: Date.now() };
  const now = () => clock.now;
  const objects = objectsInMemory();
  const over = new AbortController();
  const keeping = keepCertificates(objects, {
    hosts: [servername],
    term: over.signal,
    everyMs: 50,
    now,
    times,
  });
  const cluster = { find: async () => objects.secret } as unknown as Pick<Cluster, 'find'>;

  const listeners: Listener[] = [];
  const served: string[] = [];
  for (let replica = 0; replica < replicas; replica += 1) {
    const pair = await followSecret(cluster, {
      mode: 'self',
      name: 's',
      namespace: 'gate',
      onPair: (next) => {
        listeners[replica]?.useCertificate(next);
        served[replica] = next.certificate.serialNumber;
      },
      everyMs: 50,
      now,
      signal: over.signal,
    });
    listeners.push(await listen('127.0.0.1', 0, pair, (_request, response) => void response.end('{}')));
  }

  // An API server hears of a new bundle by its watch, a moment after it was written.
  let known = objects.bundle();
  const hear = setInterval(() => {
    const heard = objects.bundle.call(objects);
    setTimeout(() => {
      known = heard;
    }, 50);
  }, 10);
  const ports = listeners.map(({ port }) => port);
  const load = startLoad({ servername, ports, bundle: () => known, now, freshEvery: 8 }, perSecond);

  const leaves = new Set<string>();
  const authorities = new Set<string>();
  const note = () => {
    const state = readState(objects.secret?.data);
    if (state.leaf) leaves.add(state.leaf.certificate.serialNumber);
    for (const { certificate } of state.authorities) authorities.add(certificate.serialNumber);
  };
  note();
  while (leaves.size < 1 + 10 || authorities.size < 2 + 3) {
    clock.now += dayMs;
    await keeping.lookNow();
    // On a busy machine a handshake may take longer than a day, which no real one does.
    await Promise.all([sleep(dayInRealMs), load.caughtUp()]);
    note();
  }
  const rotated = `${authorities.size - 2} authorities and ${leaves.size - 1} leaves rotated`;

  objects.secret = undefined;
  const before = new Set(leaves);
  await keeping.lookNow();
  // A day is longer than replicas may take to serve a new leaf, so it must not pass before they do.
  await eventually(
    'every replica serves a leaf of the new Secret',
    () => served.length === replicas && served.every((serial) => !before.has(serial)),
    30_000,
  );
  clock.now += dayMs;
  await keeping.lookNow();
  await sleep(300);
  note();

  const { sent, handshakes, failed, seconds } = await load.stop();
  clearInterval(hear);
  over.abort();
  await keeping.ended;
  await Promise.all(listeners.map((listener) => listener.drain(0, 1_000)));
  t.diagnostic(
    `${sent} requests, ${Math.round(sent / seconds)} a second, ${handshakes} handshakes; ${rotated}`,
  );
  assert.deepEqual(failed.slice(0, 5), [], `${failed.length} of ${sent} failed`);
  assert.ok(sent >= perSecond * (seconds - 1));
  assert.ok(handshakes > sent / 8);
});
