import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubernetesError } from '../../src/kubernetes/client.ts';
import { type EventWriterOptions, openEventWriter, type Telling } from '../../src/kubernetes/eventWriter.ts';
import type { EventRecord } from '../../src/kubernetes/kinds.ts';
import { failuresTotal } from '../../src/metrics.ts';
import { eventually } from '../support/programs.ts';

const telling = (name: string, note = 'no'): Telling => ({
  regarding: { apiVersion: 'v1', kind: 'Pod', name, namespace: 'a' },
  reason: 'AdmissionDenied',
  action: 'Deny',
  note,
});

function writerOf(
  answer: (count: number) => void = () => undefined,
  options: Partial<EventWriterOptions> = {},
) {
  const written: EventRecord[] = [];
  let count = 0;
  const create = async (_kind: unknown, record: unknown) => {
    count += 1;
    answer(count);
    written.push(record as EventRecord);
    return record;
  };
  const find = async (_kind: unknown, { name }: { name: string }) => {
    if (name === 'unreadable') throw new KubernetesError(500, '', 'no');
    return name === 'gone' ? undefined : { metadata: { name, uid: `uid-of-${name}` } };
  };
  const cluster = { create, find } as unknown as Parameters<typeof openEventWriter>[0];
  return { written, writer: openEventWriter(cluster, { instance: 'me', ...options }) };
}

const dropped = async () =>
  (await failuresTotal.get()).values.find(({ labels }) => labels.failure === 'kubernetes_event_dropped')
    ?.value ?? 0;

test('the same is told once, and something else again', async () => {
  const { written, writer } = writerOf();
  writer.tell(telling('p'));
  writer.tell(telling('p'));
  writer.tell(telling('p', 'other'));
  writer.tell(telling('q'));
  await eventually('three are written', () => written.length === 3);
  await writer.close();
  assert.equal(new Set(written.map(({ metadata }) => metadata.name)).size, 3);
  const [first] = written;
  assert.equal(first?.metadata.namespace, 'a');
  assert.match(first?.eventTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
});

test('two replicas tell the same under one name, so the API server keeps one of them', async () => {
  const [one, other] = [writerOf(), writerOf()];
  for (const { writer } of [one, other]) writer.tell(telling('p'));
  await eventually('both', () => one.written.length + other.written.length === 2);
  assert.equal(one.written[0]?.metadata.name, other.written[0]?.metadata.name);
});

test('what does not fit into the queue is dropped and counted, and telling never waits', async () => {
  const before = await dropped();
  const { written, writer } = writerOf(undefined, { maxWaiting: 3, perSecond: 0.1, burst: 1 });
  for (let index = 0; index < 10; index += 1) writer.tell(telling(`p-${index}`));
  await eventually('one is written', () => written.length === 1);
  await writer.close();
  assert.equal(written.length, 1);
  assert.equal((await dropped()) - before, 9);
});

test('an API server that is busy is asked again, one that refuses is not', async () => {
  const before = await dropped();
  const busy = writerOf((count) => {
    if (count === 1) throw new KubernetesError(429, '', 'busy', 10);
  });
  busy.writer.tell(telling('p'));
  await eventually('it is written', () => busy.written.length === 1);
  const refusing = writerOf((count) => {
    if (count === 1) throw new KubernetesError(403, '', 'no');
  });
  refusing.writer.tell(telling('p'));
  refusing.writer.tell(telling('q'));
  await eventually('the second is written', () => refusing.written.length === 1);
  assert.equal(refusing.written[0]?.regarding?.name, 'q');
  assert.equal((await dropped()) - before, 1);
});

test('a long note is cut at a whole character, and an object of the whole cluster is told of in `default`', async () => {
  const { written, writer } = writerOf();
  const { regarding, ...rest } = telling('p', `${'x'.repeat(1_020)}ééé`);
  const { namespace: _namespace, ...wide } = regarding;
  writer.tell({ ...rest, regarding: wide });
  await eventually('it is written', () => written.length === 1);
  const note = written[0]?.note ?? '';
  assert.ok(Buffer.byteLength(note) <= 1_024);
  assert.match(note, /^x{1020}…$/);
  assert.equal(written[0]?.metadata.namespace, 'default');
});

test('a pod that exists is told of with its UID, as far as it can be had', async () => {
  const { written, writer } = writerOf();
  for (const name of ['p', 'gone', 'unreadable']) writer.tell({ ...telling(name), isPodThere: true });
  writer.tell(telling('q'));
  await eventually('all are written', () => written.length === 4);
  assert.deepEqual(
    written.map(({ regarding }) => regarding?.uid),
    ['uid-of-p', undefined, undefined, undefined],
  );
});

test('what was dropped is written when it is told again', async () => {
  const refused = writerOf((count) => {
    if (count === 1) throw new KubernetesError(403, '', 'no');
  });
  const before = await dropped();
  refused.writer.tell(telling('p'));
  await eventually('it is dropped', async () => (await dropped()) > before);
  refused.writer.tell(telling('p'));
  await eventually('it is written', () => refused.written.length === 1);

  const full = writerOf(undefined, { maxWaiting: 1 });
  for (const name of ['p', 'q', 'r']) full.writer.tell(telling(name));
  await eventually('what fits is written', () => full.written.length === 2);
  full.writer.tell(telling('r'));
  await eventually('the rest is written', () => full.written.length === 3);
});

test('an Event has a name that the API server takes, wherever that of a pod is cut', async () => {
  const { written, writer } = writerOf();
  writer.tell(telling(`${'x'.repeat(198)}.-${'y'.repeat(20)}`));
  writer.tell(telling(`${'x'.repeat(199)}-${'y'.repeat(20)}`));
  await eventually('both are written', () => written.length === 2);
  for (const { metadata } of written) assert.match(metadata.name ?? '', /^x{198,199}\.[a-z0-9]+$/);
});
