import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import { isIssuedBy } from '../../src/certificates/pair.ts';
import { readState, writeState } from '../../src/controller/certificateSecret.ts';
import { authorityName, dayMs } from '../../src/controller/certificateStep.ts';
import { type CertificateOptions, keepCertificates } from '../../src/controller/certificates.ts';
import type { Failure } from '../../src/failures.ts';
import { failuresTotal, registry } from '../../src/metrics.ts';
import {
  mutating,
  type ObjectsInMemory,
  objectsInMemory,
  tamper,
  validating,
} from '../support/certificateObjects.ts';

const hosts = ['d4c-gate.gate.svc'];
const minuteMs = 60_000;
const start = Date.parse('2026-11-24T12:00:00Z');

/** A leader over these objects whose clock the test moves. It looks only when it is told to. */
function lead(objects: ObjectsInMemory, clock: { now: number }, options: Partial<CertificateOptions> = {}) {
  const term = new AbortController();
  const keeping = keepCertificates(objects, {
    hosts,
    term: term.signal,
    everyMs: 3_600_000,
    now: () => clock.now,
    times: { settleMs: 0 },
    ...options,
  });
  return {
    look: keeping.lookNow,
    async end() {
      term.abort();
      await keeping.ended;
    },
  };
}

/** Objects of an installation that a leader has brought up. */
async function installed(): Promise<{ objects: ObjectsInMemory; clock: { now: number } }> {
  const objects = objectsInMemory();
  const clock = { now: start };
  const leader = lead(objects, clock);
  await leader.look();
  await leader.end();
  objects.writes.length = 0;
  return { objects, clock };
}

async function settle(objects: ObjectsInMemory, clock: { now: number }): Promise<void> {
  const leader = lead(objects, clock);
  await leader.look();
  await leader.end();
}

/** What must hold whenever a leader is done. */
function assertGood(objects: ObjectsInMemory, now: number): void {
  const { authorities, leaf, problems } = readState(objects.secret?.data);
  assert.deepEqual(problems, []);
  assert.equal(authorities.length, 2);
  assert.ok(objects.bundle());
  assert.ok(leaf !== undefined && leaf.notBefore <= now && leaf.notAfter > now);
  assert.ok(authorities.every(({ notAfter }) => notAfter > now));
  const trusted = objects.trusted();
  for (const { certificate } of authorities) {
    assert.ok(trusted.some(({ fingerprint256 }) => fingerprint256 === certificate.fingerprint256));
  }
}

async function counted(failure: Failure): Promise<number> {
  const { values } = await failuresTotal.get();
  return values.find(({ labels }) => labels.failure === failure)?.value ?? 0;
}

async function metric(name: string): Promise<Record<string, number>> {
  const found = (await registry.getMetricsAsJSON()).find((one) => one.name === name);
  const values = found?.values ?? [];
  return Object.fromEntries(values.map(({ labels, value }) => [Object.values(labels).join(), value]));
}

test('brings an installation up: authorities, then bundles, then a leaf, and no failure counted', async () => {
  const before = [await counted('certificate_lost'), await counted('ca_bundle_changed')];
  const objects = objectsInMemory();
  const leader = lead(objects, { now: start });
  await leader.look();
  assert.deepEqual(objects.writes, [
    'writeData',
    `writeBundle ${mutating}`,
    `writeBundle ${validating}`,
    'writeData',
  ]);
  assertGood(objects, start);
  assert.equal(objects.trusted().length, 2);
  assert.deepEqual(await metric('d4c_gate_admission_ca_bundle_in_sync'), { [mutating]: 1, [validating]: 1 });
  assert.deepEqual([await counted('certificate_lost'), await counted('ca_bundle_changed')], before);
  await leader.end();
  assert.deepEqual(await metric('d4c_gate_admission_ca_bundle_in_sync'), {}, 'only a leader knows');
});

test('the two authorities expire half a life apart, and the leaf is of the one that ends first', async () => {
  const { objects } = await installed();
  const {
    authorities: [first, second],
    leaf,
  } = readState(objects.secret?.data);
  assert.equal(first?.notAfter, start + 180 * dayMs);
  assert.equal(second?.notAfter, start + 360 * dayMs);
  assert.equal(leaf?.notAfter, start + 30 * dayMs);
  assert.equal(leaf?.notBefore, start - 60 * minuteMs);
  assert.ok(leaf && first && isIssuedBy(leaf.certificate, first.certificate));
});

test('does nothing when nothing is due', async () => {
  const { objects, clock } = await installed();
  clock.now += 10 * dayMs;
  await settle(objects, clock);
  assert.deepEqual(objects.writes, []);
});

test('two years in steps of a day: what is trusted always covers what is served', async () => {
  const { objects, clock } = await installed();
  const leader = lead(objects, clock);
  const leaves = new Set<string>();
  const authorities = new Set<string>();
  const lost = await counted('certificate_lost');
  const changed = await counted('ca_bundle_changed');
  for (let day = 0; day < 2 * 365; day += 1) {
    clock.now += dayMs;
    const served = readState(objects.secret?.data).leaf;
    await leader.look();
    assertGood(objects, clock.now);
    const { leaf, authorities: current } = readState(objects.secret?.data);
    // A replica may not have reloaded yet: what it served before this look must still be trusted.
    assert.ok(served && objects.trusted().some((authority) => isIssuedBy(served.certificate, authority)));
    assert.ok((served?.notAfter ?? 0) > clock.now + 8 * dayMs, 'days are left to notice that renewal fails');
    leaves.add(leaf?.certificate.serialNumber ?? '');
    for (const { certificate } of current) authorities.add(certificate.serialNumber);
    assert.equal(objects.trusted().length, 2);
  }
  assert.ok(leaves.size >= 36 && leaves.size <= 43, `${leaves.size} leaves`);
  assert.equal(authorities.size, 2 + 4);
  assert.deepEqual([await counted('certificate_lost'), await counted('ca_bundle_changed')], [lost, changed]);
  await leader.end();
});

test('a leaf is not signed by an authority that has been trusted for less than settleMs', async () => {
  const { objects, clock } = await installed();
  clock.now += 25 * dayMs;
  const leader = lead(objects, clock, { times: { settleMs: 300 } });
  await leader.look();
  assert.deepEqual(objects.writes, [], 'the leaf is due, but this leader has seen the bundles only now');
  await new Promise((resolve) => setTimeout(resolve, 320));
  await leader.look();
  assert.deepEqual(objects.writes, ['writeData']);
  await leader.end();
});

test('a leaf is not signed while one configuration cannot be written', async () => {
  const objects = objectsInMemory();
  objects.beforeWrite = (_, name) => {
    if (name === `writeBundle ${mutating}`) throw new Error('forbidden');
  };
  const before = await counted('certificates_unattended');
  await settle(objects, { now: start });
  assert.equal(readState(objects.secret?.data).leaf, undefined);
  assert.ok(objects.writes.includes(`writeBundle ${validating}`), 'the other one is written all the same');
  assert.ok((await counted('certificates_unattended')) > before);
});

test('a configuration that is not there holds nothing up and is said to be out of sync', async () => {
  const objects = objectsInMemory();
  objects.configurations.set(mutating, undefined);
  const leader = lead(objects, { now: start });
  await leader.look();
  assert.notEqual(readState(objects.secret?.data).leaf, undefined);
  assert.deepEqual(await metric('d4c_gate_admission_ca_bundle_in_sync'), { [mutating]: 0, [validating]: 1 });
  await leader.end();
});

const foreign = await makeAuthority('somebody else', {
  notBefore: start - dayMs,
  notAfter: start + 9_999 * dayMs,
});
const impostor = await makeAuthority(`${authorityName} 0`, {
  notBefore: start - dayMs,
  notAfter: start + 9_999 * dayMs,
});
const text = (pem: string) => Buffer.from(pem).toString('base64');

for (const [because, change, failure, times] of [
  ['caBundle is emptied', (o) => tamper(o, mutating, undefined), 'ca_bundle_changed', 1],
  [
    'both caBundles are emptied',
    (o) =>
      [mutating, validating].forEach((id) => {
        tamper(o, id, undefined);
      }),
    'ca_bundle_changed',
    2,
  ],
  ['caBundle is of another CA', (o) => tamper(o, validating, foreign.cert), 'ca_bundle_changed', 1],
  ['another CA is added', (o) => tamper(o, mutating, o.bundle() + foreign.cert), 'ca_bundle_changed', 1],
  ['caBundle is garbage', (o) => tamper(o, mutating, 'garbage'), 'ca_bundle_changed', 1],
  ['caBundle is cut off', (o) => tamper(o, mutating, o.bundle().slice(0, 900)), 'ca_bundle_changed', 1],
  [
    'only one webhook is changed',
    (o) => {
      const w = o.configurations.get(validating)?.webhooks?.[1];
      if (w) w.clientConfig.caBundle = '';
    },
    'ca_bundle_changed',
    1,
  ],
  [
    'the Secret is deleted',
    (o) => {
      o.secret = undefined;
    },
    'certificate_lost',
    2,
  ],
  [
    'the Secret is emptied',
    (o) => {
      o.secret = { metadata: { resourceVersion: 'x' } };
    },
    'certificate_lost',
    2,
  ],
  ['ca-1.key is garbage', (o) => edit(o, 'ca-1.key', 'garbage'), 'certificate_lost', 2],
  ['ca-2.crt is garbage', (o) => edit(o, 'ca-2.crt', 'garbage'), 'certificate_lost', 1],
  [
    'the keys are swapped',
    (o) => edit(o, 'ca-1.key', o.secret?.data?.['ca-2.key'] ?? '', true),
    'certificate_lost',
    2,
  ],
  ['the leaf is garbage', (o) => edit(o, 'tls.crt', 'garbage'), 'certificate_lost', 1],
  [
    'the leaf is gone',
    (o) => {
      edit(o, 'tls.crt', '');
      edit(o, 'tls.key', '');
    },
    'certificate_lost',
    1,
  ],
  ['the Secret holds NUL and other bytes', (o) => edit(o, 'tls.key', '\0\xff\ufffd'), 'certificate_lost', 1],
] as readonly (readonly [string, (objects: ObjectsInMemory) => void, Failure, number])[]) {
  test(`mends and counts it when ${because}`, async () => {
    const { objects, clock } = await installed();
    clock.now += 60 * minuteMs;
    const before = await counted(failure);
    change(objects);
    await settle(objects, clock);
    assertGood(objects, clock.now);
    assert.equal(
      (await counted(failure)) - before >= times,
      true,
      `${(await counted(failure)) - before} counted`,
    );
    clock.now += 11 * minuteMs;
    await settle(objects, clock);
    assert.equal(objects.trusted().length, 2, 'in the end nothing else is trusted');
    objects.writes.length = 0;
    await settle(objects, clock);
    assert.deepEqual(objects.writes, [], 'and then it rests');
  });
}

function edit(objects: ObjectsInMemory, key: string, value: string, isBase64 = false): void {
  const data = { ...objects.secret?.data, [key]: isBase64 ? value : text(value) };
  objects.secret = { metadata: { resourceVersion: `by-hand-${Math.random()}` }, data };
}

test('after the Secret was lost, the old authorities stay trusted until every replica has the new leaf', async () => {
  const { objects, clock } = await installed();
  const served = readState(objects.secret?.data).leaf;
  clock.now += 3 * dayMs;
  const stillTrusted = () => objects.trusted().some((one) => served && isIssuedBy(served.certificate, one));
  objects.secret = undefined;
  objects.beforeWrite = () => assert.ok(stillTrusted());
  await settle(objects, clock);
  assert.ok(stillTrusted());
  assert.equal(objects.trusted().length, 4);
  objects.beforeWrite = () => undefined;
  clock.now += 11 * minuteMs;
  await settle(objects, clock);
  assert.ok(!stillTrusted());
});

test('an authority that somebody named like ours is trusted no longer than that', async () => {
  const { objects, clock } = await installed();
  clock.now += dayMs;
  tamper(objects, mutating, objects.bundle() + impostor.cert);
  await settle(objects, clock);
  assert.equal(objects.trusted().length, 2);
});

test('an expired leaf, with or without its authorities, is replaced and counted', async () => {
  for (const days of [31, 200, 400, 4_000]) {
    const { objects, clock } = await installed();
    const before = await counted('certificate_lost');
    clock.now += days * dayMs;
    await settle(objects, clock);
    assertGood(objects, clock.now);
    assert.ok((await counted('certificate_lost')) > before, `${days} days`);
    assert.equal(objects.trusted().length, 2, `${days} days`);
  }
});

test('other host names give another leaf at once', async () => {
  const { objects, clock } = await installed();
  const leader = lead(objects, clock, { hosts: ['renamed.gate.svc', '10.0.0.1'] });
  await leader.look();
  await leader.end();
  assert.equal(
    readState(objects.secret?.data).leaf?.certificate.checkHost('renamed.gate.svc'),
    'renamed.gate.svc',
  );
  assert.deepEqual(objects.writes, ['writeData']);
});

for (const [name, prepare] of [
  ['an installation', async () => ({ objects: objectsInMemory(), clock: { now: start } })],
  [
    'a lost Secret',
    async () => {
      const i = await installed();
      i.objects.secret = undefined;
      return i;
    },
  ],
  [
    'the end of an authority',
    async () => {
      const i = await installed();
      i.clock.now += 181 * dayMs;
      return i;
    },
  ],
  [
    'an emptied bundle',
    async () => {
      const i = await installed();
      i.clock.now += 25 * dayMs;
      tamper(i.objects, mutating, '');
      return i;
    },
  ],
] as const) {
  for (const when of ['before', 'after'] as const) {
    test(`a crash ${when} any write of ${name} is only another state to start from`, async () => {
      let isOver = false;
      for (let crashAt = 0; !isOver; crashAt += 1) {
        const { objects, clock } = await prepare();
        objects.writes.length = 0;
        const leader = lead(objects, clock);
        const crash = (index: number) => {
          if (index >= crashAt) throw new Error('crashed');
        };
        // Nothing of the process is written from here on; `after`: the last write was, and nobody learnt of it.
        objects.beforeWrite = (index) => crash(when === 'before' ? index : index - 1);
        if (when === 'after') objects.afterWrite = crash;
        await leader.look();
        await leader.end();
        isOver = objects.writes.length < crashAt;
        objects.beforeWrite = () => undefined;
        objects.afterWrite = () => undefined;
        clock.now += 5_000;
        await settle(objects, clock);
        assertGood(objects, clock.now);
      }
    });
  }
}

test('two leaders at once, one of them stalled, never leave a broken state', async () => {
  const { objects, clock } = await installed();
  clock.now += 181 * dayMs;
  const leaders = [lead(objects, clock), lead(objects, clock), lead(objects, clock)];
  await Promise.all(leaders.map(({ look }) => look()));
  await Promise.all(leaders.map(({ end }) => end()));
  await settle(objects, clock);
  assertGood(objects, clock.now);
  assert.equal(
    objects.writes.filter((name) => name === 'writeData').length <= 3,
    true,
    objects.writes.join(),
  );
});

test('clocks of leaders that differ by five minutes change nothing but a count', async () => {
  for (const skewMs of [5 * minuteMs, -5 * minuteMs]) {
    const { objects, clock } = await installed();
    const before = [await counted('clock_skewed'), await counted('certificate_lost')];
    clock.now += skewMs;
    await settle(objects, clock);
    assert.deepEqual(objects.writes, []);
    assertGood(objects, clock.now);
    const after = [await counted('clock_skewed'), await counted('certificate_lost')];
    assert.deepEqual(after, [(before[0] ?? 0) + (skewMs < 0 ? 1 : 0), before[1]]);
  }
});

test('a leader five minutes ahead or behind issues what correct clocks accept', async () => {
  for (const skewMs of [5 * minuteMs, -5 * minuteMs]) {
    const objects = objectsInMemory();
    await settle(objects, { now: start + skewMs });
    assertGood(objects, start);
  }
});

test('the API server away is counted, and everything is as before', async () => {
  const { objects, clock } = await installed();
  const { read } = objects;
  objects.read = () => Promise.reject(new Error('connect ECONNREFUSED'));
  const before = await counted('certificates_unattended');
  await settle(objects, clock);
  objects.read = read;
  assert.ok((await counted('certificates_unattended')) > before);
  assertGood(objects, clock.now);
});

test('a term that is over ends the work before the next write', async () => {
  const objects = objectsInMemory();
  const term = new AbortController();
  objects.beforeWrite = () => term.abort();
  const { ended } = keepCertificates(objects, { hosts, term: term.signal, now: () => start });
  await ended;
  assert.equal(objects.writes.length, 1);
});

test('a leaf signed by a CA that was put into the Secret by hand is taken, once it is read back', async () => {
  const { objects, clock } = await installed();
  const own = await makeAuthority(`${authorityName} own`, {
    notBefore: start - dayMs,
    notAfter: start + 900 * dayMs,
  });
  const leaf = await issueLeaf(own, hosts, { notBefore: start - dayMs, notAfter: start + 20 * dayMs });
  const { authorities } = readState(objects.secret?.data);
  objects.secret = {
    metadata: { resourceVersion: 'by-hand' },
    data: writeState({ authorities: [...authorities.slice(1), own], leaf }),
  };
  await settle(objects, clock);
  assertGood(objects, clock.now);
  assert.equal(readState(objects.secret?.data).leaf?.cert, leaf.cert);
});
