import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Live } from '../../src/admission/live.ts';
import type { JsonObject, Review, ReviewAnswer } from '../../src/admission/review.ts';
import { isSession, judgeSession } from '../../src/admission/sessions.ts';
import { GateError } from '../../src/errors.ts';
import { cluster, generationsOf, processGeneration, recorded, reviewOf } from './support.ts';

const interactive = { operation: ['exec'], sessionLeaderInteractive: true };
const block = { match: ['m'], actions: ['alert', 'block'] };
const shells = (more: object = {}) => ({ shells: { m: { ...interactive, ...more } } });

const pod = {
  metadata: { name: 'bare', namespace: 'team-b', labels: { app: 'web' } },
  spec: {
    initContainers: [{ name: 'init', image: 'init:1' }],
    containers: [
      { name: 'bare', image: 'd4c.test/busybox:1' },
      { name: 'side', image: 'd4c.test/proxy:1', tty: true },
    ],
    ephemeralContainers: [{ name: 'debug', image: 'd4c.test/debug:1' }],
  },
};

const never = (): never => assert.fail('the pod is not to be read');

function liveWith(read: () => unknown): Live {
  return {
    modeOf: () => 'enforce',
    askMode: async () => 'enforce',
    pod: async () => read(),
    podPages: never,
  };
}

/** A recorded request, with other options. */
function session(options: object, kind: 'exec' | 'attach' = 'exec'): Review {
  const review = reviewOf(recorded(`validate CONNECT pods/${kind} bare`));
  const object = { ...(review.object as JsonObject), ...options };
  return { ...review, object };
}

function judge(
  selectors: Parameters<typeof processGeneration>[0],
  review: Review,
  read: (() => unknown) | undefined = () => pod,
  response: object = block,
): Promise<ReviewAnswer> {
  const generations = generationsOf(processGeneration(selectors, response));
  return judgeSession(review, { generations, cluster, ...(read && { live: liveWith(read) }) });
}

const tty = { tty: true, stdin: true, command: ['sh'] };

test('an interactive session that a policy blocks is refused with policy, selector, response and what to do', async () => {
  const answer = await judge(shells({ containerImageName: ['busybox'] }), session(tty));
  assert.equal(answer.allowed, false);
  assert.match(
    answer.message,
    /^policy `shells` refuses interactive sessions in container `bare` of pod `bare`: selector `m` of `process\.responses\[0\]`.*leave out `-t`/,
  );
  assert.deepEqual(answer.audit, { session: 'refused', policy: 'shells', selector: 'm' });
});

test('a recorded exec and attach without a terminal are allowed, and nothing is read for them', async () => {
  for (const kind of ['exec', 'attach'] as const) {
    const review = reviewOf(recorded(`validate CONNECT pods/${kind} bare`));
    assert.equal(isSession(review), true);
    assert.deepEqual(await judge(shells(), review, never), {
      allowed: true,
      audit: { session: 'not interactive' },
    });
  }
});

test('the pod is read only where the answer depends on it', async () => {
  const elsewhere = await judge(shells({ kubernetesNamespace: ['other'] }), session(tty), never);
  assert.equal(elsewhere.allowed, true);
  const everywhere = await judge(shells(), session(tty), never);
  assert.equal(everywhere.allowed, false);
  const logged = await judge(shells(), session(tty), never, { match: ['m'], actions: ['log'] });
  assert.equal(logged.allowed, true);
});

test('the container is the one that is named, else the default of the pod, else the first', async () => {
  const refuses = async (container: string | undefined, image: string, read: unknown = pod) => {
    const selectors = shells({ containerImageName: [image] });
    return !(await judge(selectors, session({ ...tty, container }), () => read)).allowed;
  };
  assert.equal(await refuses('side', 'proxy'), true);
  assert.equal(await refuses('side', 'busybox'), false);
  assert.equal(await refuses('debug', 'debug'), true);
  assert.equal(await refuses('init', 'init'), true);
  assert.equal(await refuses(undefined, 'busybox'), true);
  assert.equal(await refuses(undefined, 'proxy'), false);
  const annotations = { 'kubectl.kubernetes.io/default-container': 'side' };
  const preferring = { ...pod, metadata: { ...pod.metadata, annotations } };
  assert.equal(await refuses(undefined, 'proxy', preferring), true);
  assert.equal(await refuses('gone', 'busybox'), false);
});

test('what is not sure is left to the node', async () => {
  const byPath = shells({ processExecutable: ['/bin/sh'] });
  const answers = await Promise.all(
    [['sh'], ['/bin/bash'], [], ['/bin/sh', '-c', 'id']].map((command) =>
      judge(byPath, session({ ...tty, command })),
    ),
  );
  assert.deepEqual(
    answers.map(({ allowed, audit }) => [allowed, audit?.session]),
    [
      [true, 'left to the node'],
      [true, 'left to the node'],
      [true, 'left to the node'],
      [false, 'refused'],
    ],
  );
});

test('attaching joins the session of the container, which is interactive if that has a terminal', async () => {
  const attach = async (options: object) =>
    (await judge(shells({ kubernetesPodLabel: ['app:web'] }), session(options, 'attach'))).allowed;
  assert.equal(await attach({ tty: true, stdin: true }), false);
  assert.equal(await attach({ stdin: true, container: 'side' }), false, 'whatever the request says');
  assert.equal(await attach({ stdin: true, container: 'bare' }), true);
  assert.equal(await attach({ container: 'side' }), true, 'it only looks');
  const refused = await judge(shells(), session({ tty: true }, 'attach'));
  assert.ok(
    !refused.allowed && !refused.message.includes('leave out'),
    'there is no command to run otherwise',
  );
});

test('a pod that cannot be read makes the request one that cannot be judged, if it depends on the pod', async () => {
  const away = () => {
    throw new GateError('KUBERNETES_UNREACHABLE', 'no answer');
  };
  await assert.rejects(judge(shells({ containerImageName: ['busybox'] }), session(tty), away), {
    code: 'POD_UNREADABLE',
    message: /depends on pod `bare`, which cannot be read: no answer/,
  });
  assert.equal((await judge(shells(), session(tty), away)).allowed, false);
  const gone = await judge(shells({ containerImageName: ['busybox'] }), session(tty), () => undefined);
  assert.deepEqual(gone, { allowed: true, audit: { session: 'no such container' } });
});

test('without a cluster, what depends on the pod is left to the node with a warning', async () => {
  const generations = generationsOf(processGeneration(shells({ containerImageName: ['busybox'] }), block));
  const answer = await judgeSession(session(tty), { generations, cluster });
  assert.equal(answer.allowed, true);
  assert.match(answer.warnings?.join() ?? '', /cannot read pods here.*policy `shells`.*left to the node/);
  const sure = generationsOf(processGeneration(shells({ kubernetesNamespace: ['team-b'] }), block));
  assert.equal((await judgeSession(session(tty), { generations: sure, cluster })).allowed, false);
});

test('policies are looked at once more before anything is refused', async () => {
  const generations = generationsOf(processGeneration(shells(), block), async () => {
    generations.publish(processGeneration({}, block, 2));
  });
  const answer = await judgeSession(session(tty), { generations, cluster, live: liveWith(() => pod) });
  assert.equal(answer.allowed, true);
});

test('options that are none are refused as such', async () => {
  const review = { ...session({}), object: null };
  await assert.rejects(judge(shells(), review), { code: 'REVIEW_OBJECT' });
});
