import assert from 'node:assert/strict';
import { test } from 'node:test';
import request from 'supertest';
import { rememberOptIns } from '../../src/admission/optIns.ts';
import { createApp } from '../../src/admission/server.ts';
import type { NamespaceState } from '../../src/kubernetes/namespaceModes.ts';
import { cluster, generationFor, generationsOf, recorded } from './support.ts';

/** The modes of namespaces as a replica hears of them. */
function namespaces() {
  const states = new Map<string, NamespaceState>();
  let tell: (names: readonly string[]) => void = () => undefined;
  return {
    get: (name: string) => states.get(name),
    subscribe(listener: (names: readonly string[]) => void) {
      tell = listener;
      return () => undefined;
    },
    hear(name: string, mode?: 'observe' | 'enforce') {
      states.set(name, { name, uid: name, mode, labelledAt: 0 });
      tell([name]);
    },
  };
}

test('a namespace counts as just opted in before this replica hears of it, and for a while after', (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const heard = namespaces();
  const justOptedIn = rememberOptIns(heard, 10_000);
  assert.equal(justOptedIn('a'), true, 'nothing is known of it');
  heard.hear('a');
  assert.equal(justOptedIn('a'), true, 'its label is on the way');
  heard.hear('a', 'enforce');
  now = 9_999;
  assert.equal(justOptedIn('a'), true);
  heard.hear('b', 'observe');
  now = 10_000;
  assert.equal(justOptedIn('a'), false);
  assert.equal(justOptedIn('b'), true);
  heard.hear('a', 'observe');
  assert.equal(justOptedIn('a'), true, 'it may have been out in between');
});

test('a pod without annotations is allowed when its namespace just opted in, and a forged one is not', async () => {
  const asked = recorded('mutate CREATE pods bare');
  const { namespace = '', object } = asked.request;
  const { annotations: _, ...metadata } = object.metadata;
  const answer = async (annotations: Record<string, string> | undefined, isNew: boolean) => {
    const app = createApp({
      generations: generationsOf(generationFor({ applies: namespace })),
      cluster,
      isReady: () => true,
      justOptedIn: (name) => isNew && name === namespace,
    });
    const pod = { ...object, metadata: { ...metadata, ...(annotations && { annotations }) } };
    const { body } = await request(app)
      .post('/validate')
      .send({ ...asked, request: { ...asked.request, object: pod } });
    return body.response.allowed;
  };
  assert.equal(await answer(undefined, true), true);
  assert.equal(await answer(undefined, false), false);
  assert.equal(await answer({ 'd4c-gate.io/policies': '' }, true), false);
  assert.equal(await answer({ 'd4c-gate.io/policies': 'forged' }, true), false);
  assert.equal(await answer({ 'd4c-gate.io/policies-undecided': 'applies' }, true), false);
});
