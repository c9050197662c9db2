import assert from 'node:assert/strict';
import { test } from 'node:test';
import supertest from 'supertest';
import type { Live } from '../../src/admission/live.ts';
import { liveOf } from '../../src/admission/live.ts';
import { judgeByMode } from '../../src/admission/modes.ts';
import { createApp } from '../../src/admission/server.ts';
import { GateError } from '../../src/errors.ts';
import type { Cluster } from '../../src/kubernetes/client.ts';
import type { Mode } from '../../src/kubernetes/names.ts';
import { registry } from '../../src/metrics.ts';
import { cluster, generationFor, generationsOf, recorded, reviewOf } from './support.ts';

const review = () => reviewOf(recorded('mutate CREATE pods bare'));
const refuse = () => ({ allowed: false, message: 'it is forged' }) as const;

function liveIn(heard: Mode | undefined, asked: Mode | undefined = heard): Live {
  return {
    modeOf: () => heard,
    askMode: async () => asked,
    pod: async () => undefined,
    podPages: () => assert.fail('no pods are listed'),
  };
}

test('in mode observe a refusal becomes a warning, an audit annotation and a decision of its own', async () => {
  assert.deepEqual(await judgeByMode(review(), { live: liveIn('observe') }, refuse), {
    allowed: true,
    observed: 'it is forged',
    warnings: ['d4c-gate would refuse this in mode enforce: it is forged'],
    audit: { mode: 'observe', observed: 'it is forged' },
  });
});

test('elsewhere a refusal stands, with its reason for the audit log', async () => {
  for (const live of [liveIn('enforce'), liveIn(undefined), undefined]) {
    const answer = await judgeByMode(review(), live === undefined ? {} : { live }, refuse);
    assert.equal(answer.allowed, false);
    assert.equal(answer.audit?.refused, 'it is forged');
  }
});

test('the API server is asked before anything is refused, since a watch may be late', async () => {
  const eased = await judgeByMode(review(), { live: liveIn('enforce', 'observe') }, refuse);
  assert.equal(eased.allowed, true);
  const tightened = await judgeByMode(review(), { live: liveIn('observe', 'enforce') }, refuse);
  assert.equal(tightened.allowed, false);
});

test('a session that cannot be judged is allowed in mode observe, and an error elsewhere', async () => {
  const unreadable = () => {
    throw new GateError('POD_UNREADABLE', 'pod `bare` cannot be read');
  };
  const observed = await judgeByMode(review(), { live: liveIn('observe') }, unreadable);
  assert.equal(observed.allowed, true);
  await assert.rejects(judgeByMode(review(), { live: liveIn('enforce') }, unreadable), {
    code: 'POD_UNREADABLE',
  });
});

test('kube-system and the own namespace are never touched, whoever asks', async () => {
  for (const namespace of ['kube-system', 'gate-system']) {
    const place = { live: liveIn('enforce'), ownNamespace: 'gate-system' };
    const answer = await judgeByMode({ ...review(), namespace }, place, refuse);
    assert.deepEqual(answer, { allowed: true, audit: { mode: 'never' } });
  }
});

test('through the webhook: counted as observed, and `--before-sync deny` refuses nothing either', async () => {
  const generations = generationsOf({ ...generationFor({}), number: 0 });
  const app = createApp({
    generations,
    cluster,
    isReady: () => true,
    beforeSync: 'deny',
    live: liveIn('observe'),
  });
  const answer = await supertest(app).post('/validate').send(recorded('mutate CREATE pods bare'));
  assert.equal(answer.status, 200);
  assert.equal(answer.body.response.allowed, true);
  assert.match(answer.body.response.warnings[0], /^d4c-gate would refuse this/);
  assert.equal(answer.body.response.auditAnnotations.mode, 'observe');
  assert.match(await registry.metrics(), /d4c_gate_admission_requests_total\{.*decision="observed".*\} 1/);
});

test('many refusals of a namespace ask the API server once at a time, and it being away is no refusal of the answer', async () => {
  let calls = 0;
  const answers: ((labels: Record<string, string> | Error) => void)[] = [];
  const client = {
    get: () => {
      calls += 1;
      return new Promise((resolve, reject) => {
        answers.push((labels) => {
          if (labels instanceof Error) reject(labels);
          else resolve({ metadata: { labels } });
        });
      });
    },
  } as unknown as Cluster;
  const live = liveOf(client, { get: () => ({ mode: 'enforce' }) });
  const both = Promise.all([live.askMode('a'), live.askMode('a')]);
  answers[0]?.({ 'd4c-gate.io/mode': 'observe' });
  assert.deepEqual(await both, ['observe', 'observe']);
  assert.equal(calls, 1);
  const later = live.askMode('a');
  answers[1]?.(new Error('away'));
  assert.equal(await later, 'enforce');
  assert.equal(live.modeOf('a'), 'enforce');
});
