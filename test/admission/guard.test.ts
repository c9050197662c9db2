import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { coverageOf } from '../../src/admission/coverage.ts';
import { guard } from '../../src/admission/guard.ts';
import type { Live } from '../../src/admission/live.ts';
import type { Review, ReviewAnswer } from '../../src/admission/review.ts';
import { cluster, generationFor, generationsOf, recorded, reviewOf } from './support.ts';

const modeLabel = 'd4c-gate.io/mode';
const confirmed = { 'd4c-gate.io/confirm-opt-out': 'true' };

interface State {
  mode?: string;
  annotations?: Record<string, string>;
  deletionTimestamp?: string;
}

const namespaceWith = ({ mode, ...metadata }: State) => ({
  metadata: { name: 'team-b', labels: mode === undefined ? {} : { [modeLabel]: mode }, ...metadata },
});

/** A recorded UPDATE of a namespace, between these two states; a CREATE when there is none before. */
function change(from: State | undefined, to: State): Review {
  const review = reviewOf(recorded('validate UPDATE namespaces team-b'));
  if (from === undefined)
    return { ...review, operation: 'CREATE', oldObject: null, object: namespaceWith(to) };
  return { ...review, oldObject: namespaceWith(from), object: namespaceWith(to) };
}

const podNamed = (name: string) => ({
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'd4c.test/busybox:1' }] },
});

function liveWith(pages: (number | Error)[], waitMs = 0): Live {
  return {
    modeOf: () => undefined,
    askMode: async () => undefined,
    pod: async () => undefined,
    async *podPages() {
      for (const [index, page] of pages.entries()) {
        if (waitMs > 0) await sleep(waitMs);
        if (page instanceof Error) throw page;
        yield { items: Array.from({ length: page }, (_, number) => podNamed(`pod-${index}-${number}`)) };
      }
    },
  };
}

function judge(
  review: Review,
  live: Live | undefined = liveWith([2]),
  namespaces: Record<string, string> = { first: 'team-b', other: 'elsewhere' },
): Promise<ReviewAnswer> {
  const generations = generationsOf(generationFor(namespaces));
  return guard(review, { generations, cluster, ownNamespace: 'gate-system', ...(live && { live }) });
}

test('opting in warns how many pods will be covered by what', async () => {
  const answer = await judge(change({}, { mode: 'enforce' }));
  assert.equal(answer.allowed, true);
  assert.deepEqual(answer.warnings, [
    'd4c-gate: what policies refuse is refused from now on',
    '2 of 2 pods are covered by policies',
    'policy `first` applies to 2 of 2 pods',
  ]);
  assert.deepEqual(answer.audit, { change: 'not opted in -> enforce' });
});

test('a namespace without pods is told so', async () => {
  const answer = await judge(change({}, { mode: 'observe' }), liveWith([0]));
  assert.deepEqual(answer.warnings, [
    'd4c-gate: mode observe decides and reports, and refuses nothing',
    'there are no pods yet',
  ]);
});

test('changing the mode says what it means', async () => {
  const eased = await judge(change({ mode: 'enforce' }, { mode: 'observe' }));
  assert.match(eased.warnings?.[0] ?? '', /nothing is refused any more/);
  const tightened = await judge(change({ mode: 'observe' }, { mode: 'enforce' }));
  assert.match(tightened.warnings?.[0] ?? '', /refused from now on/);
});

test('opting out while policies apply is refused, and the refusal says how to confirm it', async () => {
  for (const mode of ['enforce', 'observe']) {
    const answer = await judge(change({ mode }, {}));
    assert.equal(answer.allowed, false);
    assert.equal(
      answer.message,
      '1 policy applies to 2 of 2 pods, which would no longer be protected; if that is meant, confirm it and try again: ' +
        '`kubectl annotate namespace team-b d4c-gate.io/confirm-opt-out=true`',
    );
    assert.deepEqual(answer.audit, { change: `${mode} -> not opted in`, refused: answer.message });
  }
});

test('a confirmed opt-out is allowed and nothing is looked at', async () => {
  const answer = await judge(
    change({ mode: 'enforce' }, { annotations: confirmed }),
    liveWith([new Error('not to be read')]),
  );
  assert.equal(answer.allowed, true);
  assert.match(answer.warnings?.join() ?? '', /annotations of d4c-gate are taken off/);
  assert.deepEqual(answer.audit, { change: 'enforce -> not opted in', confirmed: 'true' });
  const other = { 'd4c-gate.io/confirm-opt-out': 'yes' };
  assert.equal((await judge(change({ mode: 'enforce' }, { annotations: other }))).allowed, false);
});

test('where no policy applies to any pod, opting out needs no confirmation', async () => {
  assert.equal((await judge(change({ mode: 'enforce' }, {}), liveWith([3]), {})).allowed, true);
  assert.equal((await judge(change({ mode: 'enforce' }, {}), liveWith([0]))).allowed, true);
});

test('what was not looked at counts as covered', async () => {
  for (const [live, reason] of [
    [liveWith([1, new Error('the API server is busy')]), /the API server is busy/],
    [undefined, /pods cannot be read here/],
  ] as const) {
    const generations = generationsOf(generationFor({}));
    const review = change({ mode: 'enforce' }, {});
    const answer = await guard(review, { generations, cluster, ...(live && { live }) });
    assert.equal(answer.allowed, false);
    assert.match(answer.message, reason);
    assert.match(
      answer.message,
      /^not every pod was looked at \(.*\), so some may no longer be protected; if that/,
    );
    assert.match(answer.message, /confirm-opt-out=true/);
  }
});

test('a value that is no mode is warned about, and opts out like none', async () => {
  const odd = await judge(change({}, { mode: 'enforced' }));
  assert.deepEqual(odd.warnings, [
    '`d4c-gate.io/mode: enforced` is no mode, so the namespace has not opted in; use observe or enforce',
  ]);
  assert.equal((await judge(change({ mode: 'enforce' }, { mode: 'Observe' }))).allowed, false);
});

test('a namespace that is being deleted, or whose label stays, is let through unseen', async () => {
  const unread = liveWith([new Error('not to be read')]);
  const deletionTimestamp = '2026-01-01T00:00:00Z';
  assert.deepEqual(await judge(change({ mode: 'enforce' }, { deletionTimestamp }), unread), {
    allowed: true,
  });
  const annotated = change({ mode: 'enforce' }, { mode: 'enforce', annotations: confirmed });
  assert.deepEqual(await judge(annotated, unread), { allowed: true });
  assert.deepEqual(await judge({ ...change({}, {}), operation: 'DELETE', object: null }, unread), {
    allowed: true,
  });
});

test('a namespace made with the label is told only what is odd', async () => {
  assert.deepEqual((await judge(change(undefined, { mode: 'enforce' }))).warnings, []);
  assert.match((await judge(change(undefined, { mode: 'on' }))).warnings?.join() ?? '', /is no mode/);
});

test('a confirmation that is left behind is warned about when the namespace opts in', async () => {
  const answer = await judge(change({}, { mode: 'observe', annotations: confirmed }));
  assert.match(answer.warnings?.join() ?? '', /confirm-opt-out` is still there/);
});

test('the namespaces that are never touched may be labelled, which has no effect', async () => {
  for (const name of ['kube-system', 'gate-system']) {
    const labelled = await judge({ ...change({}, { mode: 'enforce' }), name });
    assert.match(labelled.warnings?.join() ?? '', /never touches.*no effect/);
    assert.equal((await judge({ ...change({ mode: 'enforce' }, {}), name })).allowed, true);
  }
});

test('at most so many pods are looked at for at most so long, and what was cut is said', async () => {
  const place = { generation: generationFor({ first: 'team-b' }), cluster };
  const many = await coverageOf('team-b', { ...place, live: liveWith([500, 500, 500, 500, 500, 500, 500]) });
  assert.equal(many.looked, 3_000);
  assert.match(many.cut ?? '', /only 3000 pods/);
  const started = performance.now();
  const slow = await coverageOf(
    'team-b',
    { ...place, live: liveWith([1, 1, 1], 150) },
    { maxPods: 3_000, deadlineMs: 200 },
  );
  assert.ok(performance.now() - started < 1_000);
  assert.equal(slow.looked, 1);
  assert.match(slow.cut ?? '', /200 milliseconds/);
  const answer = await judge(change({}, { mode: 'enforce' }), liveWith([3_001]));
  assert.match(answer.warnings?.at(-1) ?? '', /^not every pod was looked at: only 3000 pods/);
});

test('warnings stay below what an API server passes on, however many policies apply', async () => {
  const ids = Array.from({ length: 300 }, (_, number) => [`${'long-'.repeat(40)}${number}`, 'team-b']);
  const answer = await judge(change({}, { mode: 'enforce' }), liveWith([1]), Object.fromEntries(ids));
  const lines = answer.warnings ?? [];
  assert.ok(lines.join('').length < 4_096);
  assert.ok(lines.every((line) => line.length <= 900));
  assert.ok(lines.some((line) => /290 more policies/.test(line)));
});
