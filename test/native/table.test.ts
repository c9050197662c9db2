/** The table in C++ means what `decide` says, whatever bytes it is given, in linear time. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openTable } from '../../src/native/binding.ts';
import { flatten } from '../../src/node/flatten.ts';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import { decide } from '../../src/policy/decide.ts';
import type {
  BoundPolicy,
  Decision,
  FileEvent,
  Policy,
  PolicyEvent,
  Verdict,
  Workload,
} from '../../src/policy/types.ts';
import { decisionCases } from '../support/decisions.ts';
import { events, patternsWithPaths, policies, workloads } from '../support/policies.ts';

const skip = process.platform === 'linux' ? false : 'needs Linux';

/** What the table says, in the words of `decide`. */
function tableDecides(bound: readonly BoundPolicy[], onUnknown: Verdict): (event: PolicyEvent) => Decision {
  const table = openTable(flatten(bound, onUnknown));
  return (event) => {
    const { verdict, policies: fired } = table.decide(event);
    return {
      verdict,
      policies: fired.map(({ policy, actions, selectors }) => ({
        policyId: bound[policy]?.id ?? '',
        actions,
        matchedSelectors: selectors.map(
          (index) => bound[policy]?.[event.section].selectors[index]?.selector.name ?? '',
        ),
      })),
    };
  };
}

test('every decision fixture is decided as it says', { skip }, () => {
  for (const { name, policies: compiled, workload, onUnknown, events: list } of decisionCases()) {
    const decideByTable = tableDecides(
      compiled.map((policy) => bind(policy, workload)),
      onUnknown,
    );
    for (const { event, expected } of list) {
      assert.deepEqual(decideByTable(event), expected, `${name}: ${JSON.stringify(event)}`);
    }
  }
});

test('the table equals `decide` on 100,000 generated cases', { skip }, () => {
  let fired = 0;
  let cases = 0;
  fc.assert(
    fc.property(
      fc.array(policies, { minLength: 1, maxLength: 3 }),
      workloads,
      fc.constantFrom<Verdict>('allow', 'deny'),
      fc.array(events, { minLength: 50, maxLength: 50 }),
      (some, workload, onUnknown, list) => {
        const bound = some.map((policy, index) => bind(compile(`p${index}`, policy), workload));
        const decideByTable = tableDecides(bound, onUnknown);
        for (const event of list) {
          const expected = decide(bound, event, onUnknown);
          assert.deepEqual(decideByTable(event), expected);
          fired += expected.policies.length;
          cases += 1;
        }
      },
    ),
    { numRuns: 2_000 },
  );
  assert.equal(cases, 100_000);
  assert.ok(fired > 10_000, `only ${fired} policies fired`);
});

const unknownWorkload = {} as Workload;
const fileEvent = (path: string): FileEvent => ({
  section: 'file',
  operations: ['modifyFile'],
  path,
  mount: 'root',
});

/** A policy that logs changes of files at these paths. */
function pathPolicy(...targetFilePath: string[]): BoundPolicy {
  const selectors = [{ name: 's', operation: ['modifyFile'], targetFilePath }];
  const policy = { file: { selectors, responses: [{ match: ['s'], exclude: [], actions: ['log'] }] } };
  return bind(compile('p', policy as unknown as Policy), unknownWorkload);
}

test('a pattern that is generated with its path means the same in both', { skip }, () => {
  let matched = 0;
  fc.assert(
    fc.property(fc.array(patternsWithPaths, { minLength: 1, maxLength: 4 }), (pairs) => {
      const bound = [pathPolicy(...pairs.map(({ pattern }) => pattern))];
      const decideByTable = tableDecides(bound, 'allow');
      for (const { path } of pairs) {
        const expected = decide(bound, fileEvent(path), 'allow');
        assert.deepEqual(decideByTable(fileEvent(path)), expected);
        matched += expected.policies.length;
      }
    }),
    { numRuns: 4_000 },
  );
  assert.ok(matched > 4_000, `only ${matched} paths matched`);
});

test('bytes that are no table are refused', { skip }, () => {
  const good = flatten([pathPolicy('/etc/**', '/a*b/c')], 'allow');
  const refused = { code: 'GATE_TABLE_INVALID' };
  assert.throws(() => openTable(new Uint8Array()), refused);
  assert.throws(() => openTable(Uint8Array.of(...good, 0)), refused);
  for (let length = 0; length < good.length; length++) {
    assert.throws(() => openTable(good.slice(0, length)), refused, `cut to ${length} bytes`);
  }
});

test('whatever bytes are changed, the table is refused or decides', { skip }, () => {
  const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
    minLength: 1,
    maxLength: 4,
  });
  let accepted = 0;
  fc.assert(
    fc.property(fc.array(policies, { maxLength: 2 }), changes, events, (some, edits, event) => {
      const bytes = flatten(
        some.map((policy, index) => bind(compile(`p${index}`, policy), unknownWorkload)),
        'deny',
      );
      for (const [at, value] of edits) bytes[at % bytes.length] = value;
      try {
        const { verdict } = openTable(bytes).decide(event);
        assert.match(verdict, /^(allow|deny)$/);
        accepted += 1;
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'GATE_TABLE_INVALID');
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(accepted > 30, `only ${accepted} were accepted`);
});

/** Microseconds for one decision, the best of several runs. */
function cost(decideOnce: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 7; round++) {
    const started = performance.now();
    for (let i = 0; i < 300; i++) decideOnce();
    best = Math.min(best, (performance.now() - started) / 0.3);
  }
  return best;
}

const deep = Array.from({ length: 20 }, () => '**/a').join('/');
const hostile: [name: string, pattern: string, path: (bytes: number) => string][] = [
  ['many `**` and components that fit', `/${deep}/b`, (bytes) => '/a'.repeat(bytes / 2)],
  [
    'many `*` and long components',
    `/**/${'a*'.repeat(40)}b`,
    (bytes) => `/${'a'.repeat(250)}`.repeat(bytes / 251),
  ],
  ['no pattern that fits', '/usr/bin/**', (bytes) => '/x'.repeat(bytes / 2)],
];

for (const [name, pattern, pathOf] of hostile) {
  test(`time is linear in the length of the path: ${name}`, { skip }, () => {
    const table = openTable(flatten([pathPolicy(pattern)], 'allow'));
    const [short, long] = [1_024, 4_095].map((bytes) => {
      const event = fileEvent(pathOf(bytes));
      return cost(() => table.decide(event));
    }) as [number, number];
    assert.ok(long < 4 * 2.6 * short, `${short} us for 1 KiB, ${long} us for 4 KiB`);
    assert.ok(long < 2_000, `${long} us for one path`);
  });
}
