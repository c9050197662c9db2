import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bind, type PodFacts, scanPod, testWorkload } from '../../src/policy/bind.ts';
import { compile, compileCondition } from '../../src/policy/compile.ts';
import { normalizeImageName, parseImage } from '../../src/policy/image.ts';
import {
  workloadConditions as conditionNames,
  type Policy,
  type Truth,
  type Workload,
  type WorkloadCondition,
} from '../../src/policy/types.ts';
import { policies, suffixes, workloadConditions, workloads } from '../support/policies.ts';

const policyOf = (policy: object): Policy => policy as Policy;

/** A file policy of one selector with these conditions. */
function policyFor(id: string, conditions: object, exclude: object[] = []) {
  const excludes = exclude.map((selector, index) => ({
    ...selector,
    name: `x${index}`,
    operation: ['createExecutable'],
  }));
  return compile(
    id,
    policyOf({
      file: {
        selectors: [{ ...conditions, name: 'm', operation: ['createExecutable'] }, ...excludes],
        responses: [{ match: ['m'], exclude: excludes.map(({ name }) => name), actions: ['alert'] }],
      },
    }),
  );
}

/** The language's table, evaluated as naively as it reads, on a workload of which every fact is known. */
function naive(condition: WorkloadCondition, value: string, workload: Workload): boolean {
  const { image, podName, podLabels } = workload;
  const name = podName && 'name' in podName ? podName.name : null;
  const [prefix, isPrefix] = value.endsWith('*') ? [value.slice(0, -1), true] : [value, false];
  const label = podLabels?.get(value.slice(0, value.indexOf(':')));
  const labelPrefix = prefix.slice(value.indexOf(':') + 1);
  switch (condition) {
    case 'containerImageFullName':
      return image?.fullName === normalizeImageName(value);
    case 'containerImageName':
      return image?.fullName.split('/').pop() === value;
    case 'containerImageTag':
      return image?.tag === value;
    case 'kubernetesClusterId':
      return workload.clusterId === value;
    case 'kubernetesClusterName':
      return workload.clusterName === value;
    case 'kubernetesNamespace':
      return workload.namespace === value;
    case 'kubernetesPodName':
      return name !== null && name !== undefined && (isPrefix ? name.startsWith(prefix) : name === value);
    case 'kubernetesPodLabel':
      return label !== undefined && (isPrefix ? label.startsWith(labelPrefix) : label === labelPrefix);
  }
}

/** Every way in which the unknown facts may turn out, of one value for each. */
function settled(workload: Workload, other: Workload, suffix: string): Workload {
  const facts = { ...workload };
  for (const key of Object.keys(other) as (keyof Workload)[]) {
    if (facts[key] === undefined) Object.assign(facts, { [key]: other[key] ?? null });
  }
  const { podName } = facts;
  if (!podName || !('generateName' in podName)) return facts;
  return { ...facts, podName: { name: podName.generateName.slice(0, 58) + suffix } };
}

test('on a known workload equals evaluating every condition naively', () => {
  fc.assert(
    fc.property(workloadConditions, workloads, workloads, suffixes, (conditions, facts, others, suffix) => {
      const workload = settled(facts, others, suffix);
      const expected = conditionNames.every(
        (condition) => conditions[condition]?.some((value) => naive(condition, value, workload)) ?? true,
      );
      const bound = bind(policyFor('p', conditions), workload);
      assert.equal(bound.file.selectors[0]?.workload, expected ? 'yes' : 'no');
      assert.equal(bound.applies, expected ? 'yes' : 'no');
    }),
    { numRuns: 20_000 },
  );
});

test('learning a fact never turns yes into no, nor no into yes', () => {
  const seen: Record<Truth, number> = { yes: 0, no: 0, unknown: 0 };
  fc.assert(
    fc.property(policies, workloads, workloads, suffixes, (policy, facts, others, suffix) => {
      const compiled = compile('p', policy);
      const before = bind(compiled, facts);
      const after = bind(compiled, settled(facts, others, suffix));
      const pairs: [Truth, Truth | undefined][] = [[before.applies, after.applies]];
      for (const section of ['file', 'process'] as const) {
        before[section].selectors.forEach(({ workload }, index) => {
          pairs.push([workload, after[section].selectors[index]?.workload]);
        });
      }
      for (const [was, is] of pairs) {
        assert.ok(was === 'unknown' || was === is, `${was} became ${is}`);
        assert.notEqual(is, 'unknown');
      }
      seen[before.applies] += 1;
    }),
    { numRuns: 5_000 },
  );
  for (const [truth, count] of Object.entries(seen))
    assert.ok(count > 100, `${truth} came up ${count} times only`);
});

test('a fact that is known to be absent makes a condition false', () => {
  const absent: Workload = {
    image: null,
    namespace: null,
    podName: null,
    podLabels: null,
    clusterId: null,
    clusterName: null,
  };
  const unknown: Workload = {
    image: undefined,
    namespace: undefined,
    podName: undefined,
    podLabels: undefined,
    clusterId: undefined,
    clusterName: undefined,
  };
  for (const condition of conditionNames) {
    const compiled = compileCondition(condition, ['a:*']);
    assert.equal(testWorkload(compiled, absent), 'no', condition);
    assert.equal(testWorkload(compiled, unknown), 'unknown', condition);
  }
});

const pod = (facts: Partial<PodFacts>): PodFacts => ({
  namespace: 'shop',
  podName: { name: 'web-0' },
  podLabels: new Map(),
  clusterId: undefined,
  clusterName: undefined,
  images: ['nginx'],
  ...facts,
});

test('a pod is bound by what applies to any of its containers', () => {
  const nginx = policyFor('nginx', { containerImageName: ['nginx'] });
  const redis = policyFor('redis', { containerImageName: ['redis'] });
  const facts = pod({ images: ['busybox', 'nginx:1.27', 'nginx:1.27'] });
  assert.deepEqual(scanPod([nginx, redis], facts), { applies: ['nginx'], undecided: [] });
});

test('conditions of a selector must hold for one and the same container', () => {
  const policy = policyFor('p', { containerImageName: ['nginx'], containerImageTag: ['7'] });
  assert.deepEqual(scanPod([policy], pod({ images: ['nginx:1', 'redis:7'] })), {
    applies: [],
    undecided: [],
  });
});

test('a pod is undecided where one container may and none surely does', () => {
  const policy = policyFor('p', { containerImageName: ['nginx'], kubernetesPodName: ['web-b*'] });
  const facts = pod({ podName: { generateName: 'web-' }, images: ['redis', 'nginx'] });
  assert.deepEqual(scanPod([policy], facts), { applies: [], undecided: ['p'] });
  assert.deepEqual(scanPod([policy], { ...facts, images: ['redis'] }), { applies: [], undecided: [] });
});

test('an image that is no reference is unknown', () => {
  const byImage = policyFor('byImage', { containerImageName: ['nginx'] });
  const byNamespace = policyFor('byNamespace', { kubernetesNamespace: ['shop'] });
  const elsewhere = policyFor('elsewhere', { containerImageName: ['nginx'], kubernetesNamespace: ['bank'] });
  const facts = pod({ images: ['NOT AN IMAGE'] });
  assert.deepEqual(scanPod([byImage, byNamespace, elsewhere], facts), {
    applies: ['byNamespace'],
    undecided: ['byImage'],
  });
});

test('a pod without containers is bound by nothing', () => {
  assert.deepEqual(scanPod([policyFor('p', {})], pod({ images: [] })), { applies: [], undecided: [] });
});

test('IDs are sorted whatever the order of the policies', () => {
  const ids = ['b', 'a-2', 'a', 'c', 'B'];
  const all = ids.map((id) => policyFor(id, {}));
  assert.deepEqual(scanPod(all, pod({})).applies, ['B', 'a', 'a-2', 'b', 'c']);
});

test('an exclude that holds and covers the events takes the policy away', () => {
  const workload: Workload = { ...pod({}), image: parseImage('nginx') };
  const covered = policyFor('p', {}, [{ kubernetesNamespace: ['shop'] }]);
  assert.equal(bind(covered, workload).applies, 'no');
  assert.equal(bind(covered, { ...workload, namespace: undefined }).applies, 'unknown');
  assert.equal(bind(covered, { ...workload, namespace: 'bank' }).applies, 'yes');
  const partly = policyFor('p', {}, [{ kubernetesNamespace: ['shop'], targetFilePath: ['/tmp/**'] }]);
  assert.equal(bind(partly, workload).applies, 'yes');
});
