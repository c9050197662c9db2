import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PodIdentity } from '../../src/node/identity.ts';
import { type Publication, readPublication, writePublication } from '../../src/node/publication.ts';
import { identityWith } from './identities.ts';

/** Of a container in a pod with these labels and annotations. */
function publicationWith(pod: Pick<PodIdentity, 'labels' | 'annotations'>): Publication {
  const identity = {
    ...identityWith({ namespace: 'shop', podName: { name: 'web-1' }, podLabels: pod.labels }),
    pod: { name: 'web-1', namespace: 'shop', uid: 'u', ips: ['10.0.0.1'], ...pod },
  };
  return { generation: 3, mode: 'enforce', identity, policies: [] };
}

test('what was published reads as it was written', () => {
  const publication = publicationWith({
    labels: new Map([['app', 'web']]),
    annotations: new Map([['note', 'entries']]),
  });
  assert.deepEqual(readPublication(writePublication(publication)), publication);
});

test('what another version wrote, or is no JSON, is not used', () => {
  const text = writePublication(publicationWith({ labels: new Map(), annotations: new Map() }));
  assert.equal(readPublication(text.replace('"version":1', '"version":0')), undefined);
  assert.equal(readPublication(text.slice(1)), undefined);
});

test('a pod cannot make it long, and labels that were left out are asked for again', () => {
  // As much as an API server takes, in characters that take most in JSON.
  const annotations = new Map(Array.from({ length: 16 }, (_, n) => [`a${n}`, '\u0001'.repeat(16_000)]));
  const labels = new Map(
    Array.from({ length: 5_000 }, (_, n) => [`${'k'.repeat(200)}/${n}`, 'v'.repeat(63)]),
  );
  const text = writePublication(publicationWith({ labels, annotations }));
  assert.ok(text.length < 150_000, `${text.length} characters`);
  const read = readPublication(text)?.identity;
  assert.equal(read?.workload.podLabels, undefined);
  assert.equal(read?.pod?.labels?.get(`${'k'.repeat(200)}/0`), 'v'.repeat(63));
  assert.equal(read?.pod?.annotations?.get('a0')?.length, 1_024 - 'a0:'.length);
});
