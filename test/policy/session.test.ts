import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import { decide } from '../../src/policy/decide.ts';
import { parseImage } from '../../src/policy/image.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { blockOfSession } from '../../src/policy/session.ts';
import type { Workload } from '../../src/policy/types.ts';
import { assertLinear } from '../support/growth.ts';
import { policies as generatedPolicies, workloads } from '../support/policies.ts';

const workload: Workload = {
  image: parseImage('nginx:1') ?? null,
  namespace: 'shop',
  podName: { name: 'web-0' },
  podLabels: new Map([['app', 'web']]),
  clusterId: undefined,
  clusterName: undefined,
};

function policy(selectors: Record<string, object>, responses: object[]) {
  const named = Object.entries(selectors).map(([name, more]) => ({ name, operation: ['exec'], ...more }));
  const text = JSON.stringify({ process: { selectors: named, responses } });
  const { policy: read, faults } = readPolicy(text, { mode: 'lenient' });
  assert.ok(read, JSON.stringify(faults));
  return compile('p', read);
}

const block = { match: ['m'], actions: ['alert', 'block'] };
const interactive = { sessionLeaderInteractive: true };

/** What one selector `m` with a blocking response says. */
function holds(selector: object, program: string | undefined, facts: Partial<Workload> = {}): string {
  const policies = [policy({ m: { ...interactive, ...selector } }, [block])];
  return blockOfSession(policies, { ...workload, ...facts }, program).holds;
}

/** Selector, program, whether the session is refused, because. */
const table: [selector: object, program: string | undefined, truth: string, because: string][] = [
  [{}, 'sh', 'yes', 'any program'],
  [{}, undefined, 'yes', 'any program, also one to come'],
  [{ sessionLeaderInteractive: false }, 'sh', 'no', 'it speaks of other sessions'],
  [{ sessionLeaderInteractive: undefined }, 'sh', 'no', 'it does not speak of sessions'],
  [{ operation: ['fork'] }, 'sh', 'no', 'a fork cannot be refused'],
  [{ operation: ['fork', 'exec'] }, 'sh', 'yes', 'one of them can'],
  [{ processExecutable: ['/bin/sh'] }, '/bin/sh', 'yes', 'the path as written'],
  [{ processExecutable: ['/usr/**'] }, '/usr/local/bin/sh', 'yes', 'the path as written'],
  [{ processExecutable: ['/**'] }, 'sh', 'yes', 'every path'],
  [{ processExecutable: ['/bin/sh'] }, '/bin/bash', 'unknown', 'it may be a link to it'],
  [{ processExecutable: ['/bin/sh'] }, 'sh', 'unknown', 'PATH is known inside alone'],
  [{ processExecutable: ['/bin/*'] }, '/bin/..', 'unknown', 'it is no path of a file'],
  [{ processExecutable: ['/bin/**'] }, '/bin/../usr/x', 'unknown', 'it leads elsewhere'],
  [{ processExecutable: ['/bin/**'] }, '/bin//x', 'unknown', 'not resolved'],
  [{ processExecutable: ['/bin/sh'] }, undefined, 'unknown', 'nothing is started yet'],
  [{ processName: ['sh'] }, 'sh', 'yes', 'the name as written'],
  [{ processName: ['sh'] }, '/opt/sh', 'yes', 'the name as written'],
  [{ processName: ['a-long-program-'] }, '/opt/a-long-program-name', 'yes', '15 bytes are kept'],
  [{ processName: ['sh'] }, 'bash', 'unknown', 'it may be a link to it'],
  [{ processName: ['sh'], processExecutable: ['/bin/*'] }, '/bin/sh', 'yes', 'both'],
  [{ processName: ['sh'], processExecutable: ['/bin/*'] }, 'sh', 'unknown', 'one of them'],
  [{ containerImageName: ['nginx'] }, 'sh', 'yes', 'the image'],
  [{ containerImageName: ['redis'] }, 'sh', 'no', 'another image'],
  [{ kubernetesPodLabel: ['app:web'], kubernetesPodName: ['web-*'] }, 'sh', 'yes', 'the pod'],
  [{ kubernetesNamespace: ['other'], processExecutable: ['/x'] }, 'sh', 'no', 'elsewhere'],
  [{ kubernetesClusterName: ['blue'] }, 'sh', 'unknown', "the cluster's name is not known"],
];

for (const [selector, program, truth, because] of table) {
  test(`${JSON.stringify(selector)} on \`${program}\` is ${truth}: ${because}`, () => {
    assert.equal(holds(selector, program), truth);
  });
}

test('of a pod that could not be read, what does not depend on it still holds', () => {
  const unread = { image: undefined, podLabels: undefined };
  assert.equal(holds({}, 'sh', unread), 'yes');
  assert.equal(holds({ containerImageName: ['nginx'] }, 'sh', unread), 'unknown');
  assert.equal(holds({ containerImageName: ['nginx'], kubernetesNamespace: ['x'] }, 'sh', unread), 'no');
});

test('an exclude that holds saves the session, and one that may hold leaves it to the node', () => {
  const withExclude = (exclude: object, program: string) =>
    blockOfSession(
      [policy({ m: interactive, x: exclude }, [{ ...block, exclude: ['x'] }])],
      workload,
      program,
    ).holds;
  assert.equal(withExclude({ processExecutable: ['/bin/ls'] }, '/bin/ls'), 'no');
  assert.equal(withExclude({ processExecutable: ['/bin/ls'] }, 'sh'), 'unknown');
  assert.equal(withExclude({ containerImageName: ['nginx'] }, 'sh'), 'no');
  assert.equal(withExclude({ containerImageName: ['redis'] }, 'sh'), 'yes');
  assert.equal(withExclude({ sessionLeaderInteractive: false }, 'sh'), 'yes');
});

test('names the policy, the selector and the response, and prefers one that is sure', () => {
  const unsure = policy({ m: { ...interactive, processName: ['bash'] } }, [block]);
  const sure = policy({ other: {}, m: interactive }, [{ match: ['other'], actions: ['log'] }, block]);
  assert.deepEqual(blockOfSession([unsure, sure], workload, 'sh'), {
    holds: 'yes',
    block: { policyId: 'p', selector: 'm', response: 1 },
  });
});

test('a response without `block` refuses nothing', () => {
  const logs = policy({ m: interactive }, [{ match: ['m'], actions: ['log', 'alert'] }]);
  assert.deepEqual(blockOfSession([logs], workload, 'sh'), { holds: 'no' });
});

test('what is surely refused at admission is refused on the node, whatever else is generated', () => {
  let sure = 0;
  const programs = fc.constantFrom('/bin/sh', '/usr/bin/app', '/a/b', '/tmp/x');
  fc.assert(
    fc.property(generatedPolicies, workloads, programs, (generated, facts, program) => {
      const compiled = compile('p', generated);
      if (blockOfSession([compiled], facts, program).holds !== 'yes') return;
      sure += 1;
      const event = {
        section: 'process',
        operation: 'exec',
        executable: program,
        interactive: true,
      } as const;
      assert.equal(decide([bind(compiled, facts)], event, 'allow').verdict, 'deny');
    }),
    { numRuns: 20_000 },
  );
  assert.ok(sure > 50, `only ${sure} are refused`);
});

test('takes linear time on a program that a user chose', () => {
  const policies = [
    policy({ m: { ...interactive, processExecutable: ['/**/a*a*b/**/c', '/**/*a*/**'] } }, [block]),
  ];
  assertLinear('the path of a program', (bytes) => {
    const program = `/${'a/'.repeat(bytes / 2)}`;
    return () => blockOfSession(policies, workload, program);
  });
});
