/** What the tests of admission share: recorded requests, generations from real directories, and a patch applied. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Express } from 'express';
import type { Cluster } from '../../src/admission/annotations.ts';
import { type Generations, rememberGenerations } from '../../src/admission/generations.ts';
import { type JsonObject, type PatchOperation, type Review, readReview } from '../../src/admission/review.ts';
import { createApp } from '../../src/admission/server.ts';
import { compile } from '../../src/policy/compile.ts';
import { indexPolicies } from '../../src/policy/policyIndex.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { type Generation, loadDirectory } from '../../src/sources/directory.ts';

const fixtures = join(import.meta.dirname, '..', 'fixtures');

export const policiesDirectory = join(fixtures, 'admission', 'policies');

export const cluster: Cluster = {
  clusterId: '0c5a9f4e-8a5b-4c56-9d61-3a1f5f3f7a10',
  clusterName: 'production',
};

interface RecordedRequest {
  uid: string;
  operation: string;
  resource: { group: string; version: string; resource: string };
  subResource?: string;
  name?: string;
  namespace?: string;
  object: PodObject;
  oldObject: PodObject | null;
  [field: string]: unknown;
}

export interface PodObject {
  metadata: {
    name?: string;
    generateName?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, unknown> | null;
    deletionTimestamp?: string;
    [field: string]: unknown;
  };
  spec: { containers: { name: string; image: string }[]; [field: string]: unknown };
  [field: string]: unknown;
}

export interface Recorded {
  title: string;
  hook: 'mutate' | 'validate';
  review: { apiVersion: string; kind: string; request: RecordedRequest };
}

/** Every recorded request, each time anew, so that a test may change what it gets. */
export function recordedReviews(): Recorded[] {
  const text = readFileSync(join(fixtures, 'admission-reviews.json'), 'utf8');
  return (JSON.parse(text) as { cases: Recorded[] }).cases;
}

/** The recorded request of that title. */
export function recorded(title: string): Recorded['review'] {
  const found = recordedReviews().find((one) => one.title === title);
  assert.ok(found, `no recorded request is titled \`${title}\``);
  return found.review;
}

export async function generationOf(directory: string, number = 1): Promise<Generation> {
  const { policies, faults } = await loadDirectory(directory, { clusterName: 'production' });
  assert.deepEqual(faults, []);
  const compiled = policies.map(({ id, policy }) => compile(id, policy));
  return { number, policies: compiled, index: indexPolicies(compiled) };
}

/** A generation of policies that apply to the pods of a namespace each: ID to namespace. */
export function generationFor(namespaces: Readonly<Record<string, string>>, number = 1): Generation {
  const policies = Object.entries(namespaces).map(([id, namespace]) => {
    const selector = { name: 'programs', operation: ['exec'], kubernetesNamespace: [namespace] };
    const responses = [{ match: ['programs'], actions: ['log'] }];
    const { policy } = readPolicy(JSON.stringify({ process: { selectors: [selector], responses } }));
    assert.ok(policy);
    return compile(id, policy);
  });
  return { number, policies, index: indexPolicies(policies) };
}

/** A generation of one process policy for each ID: its selectors by name, all under one response. */
export function processGeneration(
  policies: Readonly<Record<string, Readonly<Record<string, object>>>>,
  response: object,
  number = 1,
): Generation {
  const compiled = Object.entries(policies).map(([id, selectors]) => {
    const named = Object.entries(selectors).map(([name, conditions]) => ({ name, ...conditions }));
    const { policy, faults } = readPolicy(
      JSON.stringify({ process: { selectors: named, responses: [response] } }),
    );
    assert.ok(policy, JSON.stringify(faults));
    return compile(id, policy);
  });
  return { number, policies: compiled, index: indexPolicies(compiled) };
}

/** A recorded request as the hooks get it. */
export function reviewOf(body: Recorded['review']): Review {
  return readReview(body);
}

export function generationsOf(
  first: Generation,
  refresh: () => Promise<void> = () => Promise.resolve(),
): Generations {
  return rememberGenerations(first, refresh);
}

export function appOf(generations: Generations, of: Cluster = cluster): Express {
  return createApp({ generations, cluster: of, isReady: () => true });
}

/** The pod after the patch, which may touch nothing but annotations. Fails where RFC 6902 says that it fails. */
export function applyPatch(pod: PodObject, patch: readonly PatchOperation[]): PodObject {
  const patched = structuredClone(pod);
  for (const { op, path, value } of patch) {
    if (path === '/metadata/annotations') {
      assert.equal(op, 'add');
      patched.metadata.annotations = value as Record<string, string>;
      continue;
    }
    const [, key] = /^\/metadata\/annotations\/([^/]+)$/.exec(path) ?? [];
    const { annotations } = patched.metadata;
    assert.ok(key && annotations, `${path} leads nowhere`);
    const name = key.replaceAll('~1', '/').replaceAll('~0', '~');
    if (op !== 'add') assert.ok(Object.hasOwn(annotations, name), `${op} of an absent annotation`);
    if (op === 'remove') delete annotations[name];
    else annotations[name] = value;
  }
  return patched;
}

/** The patch of an answer; empty when it has none. */
export function patchIn(answer: { response: JsonObject }): PatchOperation[] {
  const { patch, patchType } = answer.response;
  if (patch === undefined) return [];
  assert.equal(patchType, 'JSONPatch');
  return JSON.parse(Buffer.from(String(patch), 'base64').toString()) as PatchOperation[];
}
