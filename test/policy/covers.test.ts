import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { bind } from '../../src/policy/bind.ts';
import { compile } from '../../src/policy/compile.ts';
import type { AnySelector } from '../../src/policy/conditions.ts';
import { covers, coversEvents } from '../../src/policy/covers.ts';
import { fileConditions, processConditions } from '../../src/policy/eventConditions.ts';
import type { FileSelector, Policy, PolicyEvent, ProcessSelector } from '../../src/policy/types.ts';
import { events, policies, workloads } from '../support/policies.ts';

type Conditions = Omit<AnySelector, 'name'>;

const selector = (conditions: Conditions): AnySelector => ({ name: 's', ...conditions });

test('an exclude covers a match when each of its conditions follows from those of the match', () => {
  const table: [exclude: Conditions, match: Conditions, covered: boolean, because: string][] = [
    [{}, { operation: ['exec'] }, true, 'no condition excludes everything'],
    [{ operation: ['exec'] }, {}, false, 'fork remains'],
    [{ operation: ['fork', 'exec'] }, {}, true, 'both operations are all there are'],
    [
      { operation: ['createFile', 'modifyFile', 'deleteFile'] },
      {},
      true,
      'creating an executable is creating a file',
    ],
    [{ operation: ['createFile'] }, { operation: ['createExecutable'] }, true, 'the same'],
    [{ operation: ['createExecutable'] }, { operation: ['createFile'] }, false, 'but not the reverse'],
    [{ targetFilePath: ['/**'] }, {}, true, 'every file has a path'],
    [
      { targetFilePath: ['/usr/**'] },
      { targetFilePath: ['/usr/bin/*', '/usr/lib/**', '/usr/a'] },
      true,
      'all below',
    ],
    [{ targetFilePath: ['/usr/**'] }, { targetFilePath: ['/usr/bin/*', '/usrs'] }, false, 'one is not'],
    [{ targetFilePath: ['/usr/**'] }, { targetFilePath: ['/usr'] }, false, '/usr/** is what is below /usr'],
    [
      { targetFilePath: ['/usr/*'] },
      { targetFilePath: ['/usr/a', '/usr/*.so', '/usr/*'] },
      true,
      'all in it',
    ],
    [{ targetFilePath: ['/usr/*'] }, { targetFilePath: ['/usr/**'] }, false, 'deeper ones remain'],
    [{ targetFilePath: ['/*/bin/**'] }, { targetFilePath: ['/*/bin/a'] }, true, 'the same directory'],
    [{ targetFilePath: ['/a/**/**'] }, { targetFilePath: ['/a/**/b'] }, false, 'not told'],
    [{ targetFilePath: ['/a'] }, {}, false, 'other paths remain'],
    [{ processExecutable: ['/bin/*'] }, { processExecutable: ['/bin/sh'] }, true, 'executables are paths'],
    [{ processName: ['sh'] }, { processName: ['sh', 'ls'] }, false, 'ls remains'],
    [{ ignoreVolumeMounts: true }, {}, false, 'volumes remain'],
    [{ ignoreVolumeMounts: true }, { ignoreVolumeFiles: true }, false, 'directories remain'],
    [{ ignoreVolumeFiles: true }, { ignoreVolumeMounts: true }, true, 'no volume at all'],
    [{ sessionLeaderInteractive: true }, { sessionLeaderInteractive: true }, true, 'the same'],
    [{ sessionLeaderInteractive: false }, {}, false, 'interactive ones remain'],
    [
      { kubernetesPodName: ['web-*', 'a*'] },
      { kubernetesPodName: ['web-1', 'web-2*', 'ab'] },
      true,
      'prefixes',
    ],
    [
      { kubernetesPodName: ['web-*', 'web*'] },
      { kubernetesPodName: ['webx'] },
      true,
      'the shorter prefix counts',
    ],
    [{ kubernetesPodName: ['web-*'] }, { kubernetesPodName: ['web*'] }, false, 'a longer prefix is less'],
    [{ kubernetesPodName: ['a**'] }, { kubernetesPodName: ['a*'] }, false, 'the first star is a star'],
    [{ kubernetesPodLabel: ['app:*'] }, { kubernetesPodLabel: ['app:web', 'app:'] }, true, 'any value'],
    [
      { containerImageFullName: ['docker.io/nginx'] },
      { containerImageFullName: ['index.docker.io/library/nginx'] },
      true,
      'one image by two names',
    ],
    [{ containerImageTag: ['1'] }, { kubernetesNamespace: ['a'] }, false, 'another condition'],
  ];
  for (const [exclude, match, covered, because] of table) {
    assert.equal(covers(selector(exclude), selector(match)), covered, because);
  }
});

test('coversEvents leaves the conditions about the workload out', () => {
  const [exclude, match] = [selector({ containerImageTag: ['1'] }), selector({ operation: ['exec'] })];
  assert.equal(covers(exclude, match), false);
  assert.equal(coversEvents(exclude, match), true);
});

const isFile = (event: PolicyEvent) => event.section === 'file';

function matches(candidate: AnySelector, event: PolicyEvent): boolean {
  const conditions = isFile(event)
    ? fileConditions(candidate as FileSelector, event)
    : processConditions(candidate as ProcessSelector, event);
  return conditions.every(({ heldBy }) => heldBy !== undefined);
}

test('what a covered selector matches, the covering one matches: events', () => {
  let covered = 0;
  fc.assert(
    fc.property(policies, fc.array(events, { minLength: 8, maxLength: 8 }), (policy, some) => {
      for (const section of ['file', 'process'] as const) {
        const selectors: readonly AnySelector[] = policy[section]?.selectors ?? [];
        for (const exclude of selectors) {
          for (const match of selectors) {
            if (exclude === match || !coversEvents(exclude, match)) continue;
            covered += 1;
            for (const event of some.filter((each) => each.section === section)) {
              if (matches(match, event))
                assert.ok(matches(exclude, event), JSON.stringify({ exclude, match, event }));
            }
          }
        }
      }
    }),
    { numRuns: 3_000 },
  );
  assert.ok(covered > 100, `${covered} pairs`);
});

test('what a covered selector matches, the covering one matches: workloads', () => {
  const conditionsOf = ({ selectors }: { selectors: readonly AnySelector[] }) =>
    selectors.map(
      ({ name, operation, targetFilePath, processExecutable, processName, ...workload }) => workload,
    );
  let covered = 0;
  fc.assert(
    fc.property(policies, workloads, (policy, workload) => {
      const selectors = conditionsOf(policy.file ?? { selectors: [] });
      for (const exclude of selectors) {
        for (const match of selectors) {
          const pair = [match, exclude].map((conditions, index) => ({ name: `s${index}`, ...conditions }));
          const [first, second] = pair;
          if (first === undefined || second === undefined || !covers(second, first)) continue;
          covered += match === exclude ? 0 : 1;
          const responses = [{ match: ['s0'], exclude: ['s1'], actions: ['log'] }];
          const bound = bind(
            compile('p', { file: { selectors: pair, responses } } as unknown as Policy),
            workload,
          );
          const [matching, excluding] = bound.file.selectors;
          if (matching?.workload === 'yes') assert.equal(excluding?.workload, 'yes');
        }
      }
    }),
    { numRuns: 2_000 },
  );
  assert.ok(covered > 100, `${covered} pairs`);
});
