import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testWorkload } from '../../src/policy/bind.ts';
import { compile, compileWorkload } from '../../src/policy/compile.ts';
import type { Policy } from '../../src/policy/types.ts';

/** A policy as `validate` makes it. */
const policyOf = (policy: object): Policy => policy as Policy;

const nobody = {
  image: null,
  namespace: null,
  podName: null,
  podLabels: null,
  clusterId: undefined,
  clusterName: undefined,
};

test('image names are prepared in normal form', () => {
  const values = ['docker.io/nginx', 'index.docker.io/library/nginx', 'quay.io/a/b'];
  assert.deepEqual(compileWorkload({ containerImageFullName: values }), [
    { condition: 'containerImageFullName', values: ['docker.io/library/nginx', 'quay.io/a/b'] },
  ]);
});

test('an image name that no runtime could pull stays as it is, and equals none', () => {
  assert.deepEqual(compileWorkload({ containerImageFullName: ['A/B'] }), [
    { condition: 'containerImageFullName', values: ['A/B'] },
  ]);
});

test('many values are found as few are', () => {
  const values = Array.from({ length: 100 }, (_, index) => `team-${index}`);
  const binds = (some: readonly string[], namespace: string | null) =>
    compileWorkload({ kubernetesNamespace: some }).map((test) =>
      testWorkload(test, { ...nobody, namespace }),
    );
  for (const some of [values, values.slice(-3)]) {
    assert.deepEqual(binds(some, 'team-99'), ['yes']);
    assert.deepEqual(binds(some, 'team-100'), ['no']);
    assert.deepEqual(binds(some, null), ['no']);
  }
});

test('pod names and labels are split once', () => {
  assert.deepEqual(compileWorkload({ kubernetesPodName: ['web*'], kubernetesPodLabel: ['app:w*'] }), [
    { condition: 'kubernetesPodName', patterns: [{ text: 'web', prefix: true }] },
    { condition: 'kubernetesPodLabel', patterns: [{ key: 'app', value: 'w', prefix: true }] },
  ]);
});

test('selectors are referred to by index, and the first of a name counts', () => {
  const selectors = [
    { name: 'a', operation: ['exec'] },
    { name: 'b', operation: ['fork'] },
    { name: 'a', operation: ['fork'] },
  ];
  const responses = [{ match: ['b', 'a'], exclude: [], actions: ['log'] }];
  const compiled = compile('p', policyOf({ process: { selectors, responses } }));
  assert.deepEqual(compiled.process.responses[0]?.match, [1, 0]);
  assert.equal(compiled.process.selectors.length, 3);
});

test('a section that the policy lacks is empty', () => {
  const section = {
    selectors: [{ name: 'a' }],
    responses: [{ match: ['a'], exclude: [], actions: ['log'] }],
  };
  assert.deepEqual(compile('p', policyOf({ file: section })).process, { selectors: [], responses: [] });
});

test('each match selector knows the excludes that cover its events, whatever they ask of the workload', () => {
  const selectors = [
    { name: 'drift', operation: ['createExecutable'] },
    { name: 'shop', operation: ['createExecutable'], kubernetesNamespace: ['shop'] },
    { name: 'tmp', operation: ['createExecutable'], targetFilePath: ['/tmp/**'] },
  ];
  const responses = [{ match: ['drift', 'tmp'], exclude: ['shop', 'tmp'], actions: ['log'] }];
  const [response] = compile('p', policyOf({ file: { selectors, responses } })).file.responses;
  assert.deepEqual(response?.coveredBy, [[1], [1, 2]]);
});

test('ten thousand policies compile in less than half a second', () => {
  const selectors = [
    {
      name: 'drift',
      operation: ['createExecutable', 'modifyExecutable'],
      containerImageFullName: ['docker.io/nginx', 'quay.io/team/app'],
      kubernetesPodLabel: ['app:web', 'tier:f*'],
      targetFilePath: ['/usr/**', '/opt/app/*'],
    },
    {
      name: 'builds',
      operation: ['createExecutable'],
      targetFilePath: ['/build/**'],
      kubernetesNamespace: ['ci'],
    },
  ];
  const responses = [{ match: ['drift'], exclude: ['builds'], actions: ['alert', 'block'] }];
  const policy = policyOf({ file: { selectors, responses } });
  const started = performance.now();
  for (let index = 0; index < 10_000; index += 1) compile(`policy-${index}`, policy);
  assert.ok(performance.now() - started < 500);
});
