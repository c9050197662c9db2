import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import { decide } from '../../src/policy/decide.ts';
import type { Action, Decision, Policy, PolicyEvent, Verdict, Workload } from '../../src/policy/types.ts';
import { decisionCases } from '../support/decisions.ts';
import { events, policies, workloads } from '../support/policies.ts';

for (const { name, because, policies, workload, onUnknown, applies, events } of decisionCases()) {
  test(`${name} (${because})`, () => {
    const bound = policies.map((policy) => bind(policy, workload));
    for (const policy of bound) assert.equal(policy.applies, applies.get(policy.id));
    for (const { event, expected } of events) {
      assert.deepEqual(decide(bound, event, onUnknown), expected, JSON.stringify(event));
    }
  });
}

const onUnknown = fc.constantFrom<Verdict>('allow', 'deny');
const eventLists = fc.array(events, { minLength: 10, maxLength: 10 });

const decideOne = (policy: Policy, workload: Workload, event: PolicyEvent, verdict: Verdict): Decision =>
  decide([bind(compile('p', policy), workload)], event, verdict);
const actionsOf = (decision: Decision): readonly Action[] => decision.policies[0]?.actions ?? [];

test('deciding is total, and often something fires', () => {
  let fired = 0;
  fc.assert(
    fc.property(
      fc.array(policies, { maxLength: 3 }),
      workloads,
      eventLists,
      onUnknown,
      (some, workload, list, unknown) => {
        const bound = some.map((policy, index) => bind(compile(`p${index}`, policy), workload));
        for (const event of list) {
          const decision = decide(bound, event, unknown);
          const blocked = decision.policies.some(({ actions }) => actions.includes('block'));
          assert.equal(decision.verdict, blocked ? 'deny' : 'allow');
          fired += decision.policies.length;
        }
      },
    ),
    { numRuns: 1_000 },
  );
  assert.ok(fired > 1_000, `only ${fired} policies fired`);
});

test('an exclude that is added never adds an action, nor turns allow into deny', () => {
  let cancelled = 0;
  fc.assert(
    fc.property(
      policies,
      fc.nat(),
      fc.nat(),
      workloads,
      eventLists,
      onUnknown,
      (policy, nth, by, workload, list, unknown) => {
        const excluding = withExclude(policy, nth, by);
        for (const event of list) {
          const before = actionsOf(decideOne(policy, workload, event, unknown));
          const after = actionsOf(decideOne(excluding, workload, event, unknown));
          assert.deepEqual(
            after.filter((action) => !before.includes(action)),
            [],
          );
          if (after.length < before.length) cancelled += 1;
        }
      },
    ),
    { numRuns: 1_000 },
  );
  assert.ok(cancelled > 100, `only ${cancelled} excludes took something away`);
});

/** The policy with one more exclude in some response of each section. */
function withExclude(policy: Policy, nth: number, by: number): Policy {
  const sections = (['file', 'process'] as const).flatMap((name) => {
    const section = policy[name];
    if (section === undefined) return [];
    const excluded = section.selectors[by % section.selectors.length]?.name ?? '';
    const responses = section.responses.map((response, index) =>
      index === nth % section.responses.length
        ? { ...response, exclude: [...response.exclude, excluded] }
        : response,
    );
    return [[name, { ...section, responses }]];
  });
  return Object.fromEntries(sections) as Policy;
}

test('what does not apply never fires, whatever the event', () => {
  let refused = 0;
  fc.assert(
    fc.property(policies, workloads, eventLists, onUnknown, (policy, workload, list, unknown) => {
      const bound = bind(compile('p', policy), workload);
      if (bound.applies !== 'no') return;
      refused += 1;
      for (const event of list) assert.deepEqual(decide([bound], event, unknown).policies, []);
    }),
    { numRuns: 4_000 },
  );
  assert.ok(refused > 200, `only ${refused} policies did not apply`);
});

test('onUnknown deny fires wherever allow does', () => {
  fc.assert(
    fc.property(policies, workloads, eventLists, (policy, workload, list) => {
      for (const event of list) {
        const denying = actionsOf(decideOne(policy, workload, event, 'deny'));
        const allowing = actionsOf(decideOne(policy, workload, event, 'allow'));
        assert.deepEqual(
          allowing.filter((action) => !denying.includes(action)),
          [],
        );
      }
    }),
    { numRuns: 1_000 },
  );
});
