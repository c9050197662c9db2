import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failuresTotal } from '../../src/metrics.ts';
import type { FoundContainer } from '../../src/native/gate.ts';
import { type FollowedContainer, followContainer, type Surroundings } from '../../src/node/following.ts';
import { type ContainerIdentity, unknownIdentity } from '../../src/node/identity.ts';
import { readPublication } from '../../src/node/publication.ts';
import type { CompiledPolicy } from '../../src/policy/compile.ts';
import { parseImage } from '../../src/policy/image.ts';
import { eventually } from '../support/programs.ts';
import { execPolicy, identityWith } from './identities.ts';

/** It has made the container's root filesystem its root. */
const processOfHost = 76;
const taskMount = '/run/containerd/io.containerd.runtime.v2.task/default/c1/rootfs';

/** A container whose runtime answers with `answers`, the last one for ever. */
function follow(found: Partial<FoundContainer>, ...answers: (ContainerIdentity | Error)[]) {
  const published: { ids: string[] | null; generation: number }[] = [];
  const asked: { mountPoint?: string | undefined; pid?: number | undefined }[] = [];
  const adopted: number[] = [];
  let policies: CompiledPolicy[] = [execPolicy('web', 'containerImageName: [web]')];
  let number = 1;
  let isLeftAlone = false;
  const surroundings: Surroundings = {
    gate: {
      publish(_key, table, generation, context) {
        const ids = readPublication(context ?? '')?.policies.map(({ id }) => id) ?? [];
        published.push({ ids: table === null ? null : ids, generation });
      },
      async adopt(_key, pid) {
        adopted.push(pid);
        return pid === processOfHost ? undefined : '/c1';
      },
    },
    containers: {
      async identify(sighting) {
        asked.push(sighting);
        const answer = answers.length > 1 ? answers.shift() : answers[0];
        if (answer instanceof Error) throw answer;
        return answer ?? unknownIdentity;
      },
      close: () => undefined,
    },
    roots: { processesOn: async () => [processOfHost, 77, 78] },
    place: {
      complete: (identity) => identity,
      basisOf: () => (isLeftAlone ? null : { policies, mode: 'enforce', generation: number }),
    },
    onUnknown: 'allow',
  };
  const container: FollowedContainer = followContainer(
    { key: 1, mountPoint: taskMount, device: '0:45', upperDir: '', mayRun: false, first: true, ...found },
    surroundings,
  );
  const newGeneration = (...next: CompiledPolicy[]): void => {
    policies = next;
    number++;
    container.rebind();
  };
  const leaveAlone = (): void => {
    isLeftAlone = true;
    container.rebind();
  };
  return { container, published, asked, adopted, newGeneration, leaveAlone };
}

test('binds a container before its first exec when the mount point says who it is', async (t) => {
  const { container, published, asked } = follow({}, identityWith({}));
  t.after(container.forget);
  await eventually('it is published', () => published.length > 0);
  assert.deepEqual(published[0]?.ids, ['web']);
  assert.deepEqual(asked, [{ mountPoint: taskMount, pid: undefined }]);
});

test('waits for a process when the folder may have been another container’s', async (t) => {
  const { container, published, asked } = follow({ mountPoint: '/srv/web/rootfs' }, identityWith({}));
  t.after(container.forget);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(asked, []);
  container.firstExec(123);
  await eventually('it is published', () => published.length > 0);
  assert.deepEqual(asked, [{ mountPoint: '/srv/web/rootfs', pid: 123 }]);
});

test('does not ask by the mount point for a further container on the same root', async (t) => {
  const { container, published, asked } = follow({ first: false }, identityWith({}));
  t.after(container.forget);
  container.firstExec(9);
  await eventually('it is published', () => published.length > 0);
  assert.deepEqual(asked, [{ mountPoint: undefined, pid: 9 }]);
});

test('looks for a process of a container that ran before, and tells the gate', async (t) => {
  const { container, published, adopted, asked } = follow({ mayRun: true }, identityWith({}));
  t.after(container.forget);
  await eventually('it is published', () => published.length > 0);
  // The gate does not take one of the host for the container's.
  assert.deepEqual(adopted, [processOfHost, 77]);
  assert.equal(asked[0]?.pid, 77);
});

test('asks again until a late identity binds', async (t) => {
  const late = [
    unknownIdentity,
    identityWith({ image: undefined }),
    new Error('no answer'),
    identityWith({}),
  ];
  const { container, published, asked } = follow({}, ...late);
  t.after(container.forget);
  await eventually('it is published', () => published.length > 0);
  assert.equal(asked.length, 4);
  assert.deepEqual(published[0]?.ids, ['web']);
});

test('asks at once when a process waits', async (t) => {
  const { container, published, asked } = follow({}, ...Array(7).fill(unknownIdentity), identityWith({}));
  t.after(container.forget);
  await eventually('the distance has grown', () => asked.length === 6);
  container.firstExec(5);
  await eventually('it is published', () => published.length > 0, 200);
});

test('a new generation is bound and published once for each container', async (t) => {
  const { container, published, newGeneration } = follow({}, identityWith({}));
  t.after(container.forget);
  await eventually('it is published', () => published.length === 1);
  newGeneration(execPolicy('all'), execPolicy('db', 'containerImageName: [db]'));
  newGeneration();
  assert.deepEqual(
    published.map(({ ids }) => ids),
    [['web'], ['all'], null],
  );
  assert.deepEqual(
    published.map(({ generation }) => generation),
    [1, 2, 3],
  );
});

test('a container that is left alone has no table, whatever policies say', async (t) => {
  const { container, published, leaveAlone } = follow({}, identityWith({}));
  t.after(container.forget);
  await eventually('it is published', () => published.length === 1);
  leaveAlone();
  assert.deepEqual(
    published.map(({ ids }) => ids),
    [['web'], null],
  );
});

async function unseenContainers(): Promise<number> {
  const { values } = await failuresTotal.get();
  return values.find(({ labels }) => labels.failure === 'container_unseen')?.value ?? 0;
}

test('a container that this kernel does not see is counted once, when policies apply to it', async (t) => {
  const before = await unseenContainers();
  const identity = { ...identityWith({}), unseenIn: 'io.containerd.runsc.v1' };
  const { container, published, newGeneration } = follow({}, identity);
  t.after(container.forget);
  await eventually('it is published', () => published.length === 1);
  assert.equal(await unseenContainers(), before + 1);
  newGeneration(execPolicy('all'));
  assert.equal(await unseenContainers(), before + 1);
});

test('a container that this kernel does not see is counted when the first policy comes after it', async (t) => {
  const before = await unseenContainers();
  const identity = identityWith({ image: parseImage('registry.example/db:1') });
  const { container, published, newGeneration } = follow(
    {},
    { ...identity, unseenIn: 'io.containerd.runsc.v1' },
  );
  t.after(container.forget);
  await eventually('it is published', () => published.length === 1);
  assert.equal(published[0]?.ids, null);
  assert.equal(await unseenContainers(), before);
  newGeneration(execPolicy('all'));
  assert.equal(await unseenContainers(), before + 1);
});

test('asks no more once the container is gone', async () => {
  const { container, published, asked } = follow({}, unknownIdentity);
  await eventually('it was asked', () => asked.length > 0);
  container.forget();
  const before = asked.length;
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(asked.length, before);
  container.rebind();
  assert.deepEqual(published, []);
});
