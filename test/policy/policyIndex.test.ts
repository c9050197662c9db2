import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PodFacts, scanPod } from '../../src/policy/bind.ts';
import { type CompiledPolicy, compile } from '../../src/policy/compile.ts';
import { bindPod, indexInSteps, indexPolicies, type PolicyIndex } from '../../src/policy/policyIndex.ts';
import type { Policy, WorkloadConditions } from '../../src/policy/types.ts';
import { countLooks } from '../support/looks.ts';
import { type Draw, drawFrom, drawPod, drawPolicy } from '../support/policySets.ts';

const seed = Number(process.env.SEED ?? Date.now() % 0x7fff_ffff);

/** Some policies of the last set, changed, taken out, and joined by others. */
function nextSet(draw: Draw, last: readonly CompiledPolicy[], most: number): CompiledPolicy[] {
  const kept = last.filter(() => draw(4) > 0);
  const count = draw(most);
  const taken = new Set(kept.map(({ id }) => id));
  const ids = Array.from({ length: most }, (_, index) => `p${index}`).filter((id) => !taken.has(id));
  return [...ids.slice(0, Math.max(0, count - kept.length)).map((id) => drawPolicy(draw, id)), ...kept];
}

function assertAsScanned(index: PolicyIndex, policies: readonly CompiledPolicy[], pod: PodFacts): number {
  const expected = scanPod(policies, pod);
  const found = bindPod(index, pod);
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    assert.deepEqual(found, expected, `seed ${seed}: ${JSON.stringify({ policies, pod: [pod] }, shown)}`);
  }
  return expected.applies.length + expected.undecided.length;
}

const shown = (_key: string, value: unknown): unknown =>
  value instanceof Set || value instanceof Map ? [...value] : value;

test('the index equals the scan on 100,000 generated policy sets and pods', (t) => {
  const draw = drawFrom(seed);
  let [set, index]: [CompiledPolicy[], PolicyIndex | undefined] = [[], undefined];
  let [bound, policies] = [0, 0];
  for (let run = 0; run < 100_000; run++) {
    set = nextSet(draw, set, 9);
    // Every other index is a change of the one before.
    index = indexPolicies(set, run % 2 === 0 ? undefined : index);
    bound += assertAsScanned(index, set, drawPod(draw));
    policies += set.length;
  }
  t.diagnostic(`seed ${seed}: ${bound} of ${policies} policies bound`);
  assert.ok(
    bound > policies / 10 && bound < (policies * 2) / 3,
    `${bound} of ${policies} are bound: too one-sided`,
  );
});

test('equals the scan through a hundred changes of a thousand policies, and shares what stayed', () => {
  const draw = drawFrom(seed);
  let set = Array.from({ length: 1_000 }, (_, index) => drawPolicy(draw, `p${index}`));
  let index = indexPolicies(set);
  let bases = 0;
  for (let change = 0; change < 100; change++) {
    // Most changes are edits of one policy; some take out or bring in up to a hundred.
    const many = draw(10) === 0 ? draw(100) : 1;
    const at = draw(set.length - many);
    const edited = set
      .slice(at, at + many)
      .flatMap(({ id }) => (draw(9) === 0 ? [] : [drawPolicy(draw, id)]));
    const brought = Array.from({ length: draw(4) }, (_, count) => drawPolicy(draw, `q${change}-${count}`));
    set = [...set.slice(0, at), ...edited, ...set.slice(at + many), ...brought];
    const next = indexPolicies(set, index);
    if (next.base !== index.base) bases += 1;
    index = next;
    for (let pods = 0; pods < 3; pods++) assertAsScanned(index, set, drawPod(draw));
  }
  assert.ok(bases < 12, `the base was made ${bases} times for 100 changes`);
});

/** A policy of one selector. */
function policyFor(id: string, conditions: WorkloadConditions): CompiledPolicy {
  const selectors = [{ ...conditions, name: 'm', operation: ['exec'] }];
  const process = { selectors, responses: [{ match: ['m'], exclude: [], actions: ['log'] }] };
  return compile(id, { process } as unknown as Policy);
}

const many = <T>(count: number, make: (number: number) => T): T[] =>
  Array.from({ length: count }, (_, number) => make(number));

const pod: PodFacts = {
  images: ['registry.example.com/team/shop:1', 'busybox'],
  namespace: 'shop',
  podName: { generateName: 'shop-b4d-' },
  podLabels: new Map([['app', 'shop']]),
  clusterId: 'id',
  clusterName: undefined,
};

/** Of each shape one policy in all applies to the pod, however many there are. */
const shapes: Readonly<Record<string, (number: number) => WorkloadConditions>> = {
  namespaces: (number) => ({ kubernetesNamespace: [number === 0 ? 'shop' : `shop-${number}`] }),
  'images, in the namespace of the pod': (number) => ({
    kubernetesNamespace: ['shop'],
    containerImageName: [number === 0 ? 'shop' : `shop-${number}`],
  }),
  'name prefixes': (number) => ({ kubernetesPodName: [number === 0 ? 'shop-*' : `shop-a-${number}*`] }),
  'names that the API server may make, in other namespaces': (number) => ({
    kubernetesPodName: [`shop-b4d-${number === 0 ? '' : 'b'}*`],
    kubernetesNamespace: [number === 0 ? 'shop' : `shop-${number}`],
  }),
  'label values': (number) => ({ kubernetesPodLabel: [number === 0 ? 'app:sh*' : `app:sh-${number}*`] }),
  'labels and one cluster that is not known': (number) => ({
    kubernetesClusterName: ['east'],
    kubernetesPodLabel: [number === 0 ? 'app:shop' : `app:shop-${number}`],
  }),
};

for (const [shape, conditionsOf] of Object.entries(shapes)) {
  test(`of 10,000 policies no more are looked at for a pod than of 10: ${shape}`, () => {
    const looked = [10, 10_000].map((count) => {
      const policies = many(count, (number) => policyFor(`p${number}`, conditionsOf(number)));
      const index = indexPolicies(policies);
      const looks = countLooks(policies);
      const { applies, undecided } = bindPod(index, pod);
      assert.deepEqual([...applies, ...undecided], ['p0']);
      return looks();
    });
    // At most once for each of the pod's images.
    assert.ok(
      looked.every((looks) => looks >= 1 && looks <= pod.images.length),
      looked.join(' and '),
    );
  });
}

test('that a policy was looked at is counted: the scan looks at each', () => {
  const policies = many(100, (number) => policyFor(`p${number}`, { kubernetesNamespace: [`n${number}`] }));
  const looks = countLooks(policies);
  scanPod(policies, { ...pod, images: ['busybox'] });
  assert.ok(looks() >= 100);
});

function leastMs(index: PolicyIndex, facts: PodFacts): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 20; round++) {
    const started = performance.now();
    bindPod(index, facts);
    least = Math.min(least, performance.now() - started);
  }
  return least;
}

test('facts that a pod leaves open make no candidates of policies for other namespaces', () => {
  const policies = many(10_000, (number) =>
    policyFor(`p${number}`, {
      kubernetesNamespace: [`shop-${number % 1_000}`],
      ...(number % 2 === 0 ? { containerImageName: [`i${number}`] } : { kubernetesPodName: [`n${number}*`] }),
    }),
  );
  const index = indexPolicies(policies);
  const looks = countLooks(policies);
  const open: PodFacts = { ...pod, images: ['NOT AN IMAGE'], podName: undefined, namespace: 'shop-1' };
  assert.equal(bindPod(index, open).undecided.length, 10);
  assert.equal(looks(), 10);
});

test('10,000 undecided policies are bound to a pod of 1,000 containers within 100 milliseconds', () => {
  const policies = many(10_000, (number) =>
    policyFor(`p${number}`, { kubernetesClusterName: [`c${number}`] }),
  );
  const index = indexPolicies(policies);
  const facts = { ...pod, images: many(1_000, (number) => `image-${number}`) };
  assert.equal(bindPod(index, facts).undecided.length, 10_000);
  const ms = leastMs(index, facts);
  assert.ok(ms < 100, `${ms} ms`);
});

test('10,000 policies are indexed within half a second, in steps of at most 10 milliseconds', () => {
  const policies = many(10_000, (number) =>
    policyFor(`p${number}`, {
      kubernetesNamespace: [`n${number}`],
      containerImageName: [`i${number % 100}`],
      kubernetesPodName: [`web-${number}*`],
      kubernetesPodLabel: [`app:a${number}*`],
    }),
  );
  // The fastest of each step: a pause of the process can fall into any one.
  const steps: number[] = [];
  for (let round = 0; round < 4; round++) {
    const making = indexInSteps(policies);
    let step = 0;
    for (let started = performance.now(); making.next().done !== true; started = performance.now()) {
      steps[step] = Math.min(steps[step] ?? Number.POSITIVE_INFINITY, performance.now() - started);
      step += 1;
    }
  }
  const total = steps.reduce((sum, ms) => sum + ms, 0);
  assert.ok(total < 500, `${total} ms`);
  assert.ok(Math.max(...steps) < 10, `${Math.max(...steps)} ms in one step`);
});
