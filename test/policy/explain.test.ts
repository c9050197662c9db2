import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import { decide } from '../../src/policy/decide.ts';
import { explain } from '../../src/policy/explain.ts';
import { parseImage } from '../../src/policy/image.ts';
import type { Policy, PolicyEvent, Workload } from '../../src/policy/types.ts';
import { events, policies, workloads } from '../support/policies.ts';

const policy = compile('drift', {
  file: {
    selectors: [
      {
        name: 'drift',
        operation: ['createExecutable'],
        containerImageName: ['redis', 'nginx'],
        kubernetesPodName: ['job-*', 'web-b*'],
        kubernetesPodLabel: ['app:db'],
      },
      { name: 'tmp', operation: ['createExecutable'], targetFilePath: ['/tmp/**'] },
    ],
    responses: [{ match: ['drift', 'tmp'], exclude: [], actions: ['alert', 'block'] }],
  },
} as unknown as Policy);

const workload: Workload = {
  image: parseImage('nginx:1.27'),
  namespace: 'shop',
  podName: { generateName: 'web-' },
  podLabels: new Map([['app', 'web']]),
  clusterId: undefined,
  clusterName: undefined,
};

const event: PolicyEvent = {
  section: 'file',
  operations: ['createExecutable'],
  path: '/tmp/x',
  mount: 'root',
};

test('names for each condition what the policy wants, what the workload has, and which value held', () => {
  const [section] = explain(policy, workload).sections;
  assert.deepEqual(section?.selectors[0], {
    name: 'drift',
    workload: 'no',
    conditions: [
      {
        condition: 'containerImageName',
        about: 'workload',
        holds: 'yes',
        values: ['redis', 'nginx'],
        found: 'nginx',
        heldBy: 'nginx',
      },
      {
        condition: 'kubernetesPodName',
        about: 'workload',
        holds: 'unknown',
        values: ['job-*', 'web-b*'],
        found: 'web-?????',
        heldBy: 'web-b*',
      },
      {
        condition: 'kubernetesPodLabel',
        about: 'workload',
        holds: 'no',
        values: ['app:db'],
        found: 'app:web',
        heldBy: undefined,
      },
      {
        condition: 'operation',
        about: 'event',
        holds: 'unknown',
        values: ['createExecutable'],
        found: undefined,
        heldBy: undefined,
      },
    ],
  });
});

test('with an event says which selectors match, which responses fire, and the decision', () => {
  const { applies, sections, decision } = explain(policy, workload, event);
  assert.equal(applies, 'yes');
  assert.deepEqual(
    sections[0]?.selectors.map(({ matches }) => matches),
    ['no', 'yes'],
  );
  assert.deepEqual(sections[0]?.responses, [
    { match: ['drift', 'tmp'], exclude: [], actions: ['alert', 'block'], applies: 'yes', fires: true },
  ]);
  assert.deepEqual(decision, { policyId: 'drift', actions: ['alert', 'block'], matchedSelectors: ['tmp'] });
  assert.deepEqual(sections[0]?.selectors[1]?.conditions[1], {
    condition: 'targetFilePath',
    about: 'event',
    holds: 'yes',
    values: ['/tmp/**'],
    found: '/tmp/x',
    heldBy: '/tmp/**',
  });
});

test('leaves the other section to events of its own', () => {
  const other: PolicyEvent = {
    section: 'process',
    operation: 'exec',
    executable: '/bin/sh',
    interactive: true,
  };
  const { sections, decision } = explain(policy, workload, other);
  assert.deepEqual(
    sections.map(({ section }) => section),
    ['file'],
  );
  assert.equal(sections[0]?.responses[0]?.fires, undefined);
  assert.equal(decision, undefined);
});

test('agrees with bind and decide on whatever there is', () => {
  fc.assert(
    fc.property(
      policies,
      workloads,
      events,
      fc.constantFrom('allow', 'deny'),
      (some, facts, happening, onUnknown) => {
        const compiled = compile('p', some);
        const bound = bind(compiled, facts);
        const { applies, sections, decision } = explain(compiled, facts, happening, onUnknown);
        assert.equal(applies, bound.applies);
        assert.deepEqual(decision, decide([bound], happening, onUnknown).policies[0]);
        const fired = sections.flatMap(({ responses }) => responses.filter(({ fires }) => fires));
        assert.equal(fired.length > 0, decision !== undefined);
        for (const { selectors } of sections) {
          for (const { workload: holds, conditions } of selectors) {
            const about = conditions.filter((condition) => condition.about === 'workload');
            assert.equal(
              holds,
              about.some((c) => c.holds === 'no')
                ? 'no'
                : about.every((c) => c.holds === 'yes')
                  ? 'yes'
                  : 'unknown',
            );
          }
        }
      },
    ),
    { numRuns: 2_000 },
  );
});
