/**
 * Generated policies, workloads and events for properties. The values come from small alphabets, so that what
 * is generated apart often meets: about every third selector matches an event.
 */

import fc from 'fast-check';
import { parseImage } from '../../src/policy/image.ts';
import { suffixAlphabet } from '../../src/policy/podName.ts';
import {
  type FileEvent,
  type FileSelector,
  fileOperations,
  type PodName,
  type Policy,
  type PolicyEvent,
  type PolicyResponse,
  type PolicySection,
  type ProcessEvent,
  type ProcessSelector,
  processOperations,
  type Workload,
  type WorkloadConditions,
} from '../../src/policy/types.ts';

const texts = ['a', 'b', 'ab', 'ba', 'aab', '.a', 'a.b', 'usr', 'bin', 'A', 'a b', 'é', 'a\nb'];
const odd = [
  '[a]',
  'a?',
  '{a,b}',
  '!a',
  '+(a)',
  '@(a|b)',
  '\\',
  'a\\',
  '\\\\a',
  '"a"',
  '$',
  '^a',
  '(a)',
  '~',
  '#x',
];
const names = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...texts) },
  { weight: 1, arbitrary: fc.constantFrom(...odd) },
);
const starred = fc.constantFrom('*', '*', 'a*', '*b', 'a*b', '*a*', '.*', '*.b', '*a*b*', '[*', '*?');

/** One path, resolved: absolute, without empty, `.` or `..` components. */
export const paths: fc.Arbitrary<string> = fc
  .array(names, { minLength: 1, maxLength: 5 })
  .map((components) => `/${components.join('/')}`);

/** What `targetFilePath` and `processExecutable` accept, wildcards anywhere. */
export const pathPatterns: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 5, arbitrary: names },
      { weight: 3, arbitrary: starred },
      { weight: 2, arbitrary: fc.constant('**') },
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((components) => `/${components.join('/')}`);

/** A pattern and a path that fits it more often than not. */
export const patternsWithPaths: fc.Arbitrary<{ pattern: string; path: string }> = pathPatterns.chain(
  (pattern) =>
    fc
      .oneof({ weight: 2, arbitrary: pathsLike(pattern) }, { weight: 1, arbitrary: paths })
      .map((path) => ({ pattern, path })),
);

/** Paths made by filling in the stars of a pattern. */
function pathsLike(pattern: string): fc.Arbitrary<string> {
  const fill = fc
    .array(fc.constantFrom('a', 'b', 'ab', '.'), { maxLength: 2 })
    .map((parts) => parts.join(''));
  const components = pattern
    .slice(1)
    .split('/')
    .map((component) => {
      if (component === '**') return fc.array(names, { maxLength: 2 });
      const pieces = component.split('*');
      return fc
        .array(fill, { minLength: pieces.length - 1, maxLength: pieces.length - 1 })
        .map((fills) => [pieces.map((piece, index) => piece + (fills[index] ?? '')).join('')]);
    });
  return fc.tuple(...components).map((parts) => {
    const resolved = parts.flat().map((component) => (/^\.{0,2}$/.test(component) ? 'a' : component));
    return `/${resolved.length === 0 ? 'a' : resolved.join('/')}`;
  });
}

const imageTexts = [
  'nginx',
  'nginx:1.27',
  'docker.io/bitnami/redis:7',
  'registry.k8s.io/pause:3.9',
  `ghcr.io/x/nginx@sha256:${'0'.repeat(64)}`,
];
const namespaces = ['default', 'prod', 'kube-system'];
const podNames = ['web', 'web-', 'web-0', 'web-x', 'web-bcdfg', 'web-bcdfgh', 'job-'];
const labelValues = ['web', 'we', '', 'w*'];

const list = <T>(values: readonly T[]): fc.Arbitrary<T[]> =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
/** Present for one selector in `of`. */
const seldom = <T>(arbitrary: fc.Arbitrary<T>, of: number): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: of - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const fullNames = [
  'docker.io/nginx',
  'index.docker.io/library/nginx',
  'bitnami/redis',
  'registry.k8s.io/pause',
  'ghcr.io/x/nginx',
];

/** Conditions about the workload: as a rule one or two of the eight. */
export const workloadConditions: fc.Arbitrary<WorkloadConditions> = fc
  .record({
    containerImageFullName: seldom(list(fullNames), 8),
    containerImageName: seldom(list(['nginx', 'redis', 'pause']), 8),
    containerImageTag: seldom(list(['latest', '1.27', '7', '3.9']), 8),
    kubernetesClusterId: seldom(list(['id-1', 'id-2']), 12),
    kubernetesClusterName: seldom(list(['east', 'west']), 12),
    kubernetesNamespace: seldom(list(namespaces), 6),
    kubernetesPodName: seldom(list([...podNames, 'web*', 'web-b*', 'web-a*', '*', 'w*b']), 6),
    kubernetesPodLabel: seldom(list(['app:web', 'app:w*', 'app:*', 'app:', 'tier:web', 'app:x']), 6),
  })
  // Both names of the image exclude each other.
  .map(({ containerImageName, ...rest }) =>
    withoutAbsent(rest.containerImageFullName === undefined ? { ...rest, containerImageName } : rest),
  );

/** Selectors keep no key whose condition is absent, as the ones that `validate` makes. */
function withoutAbsent<T extends object>(record: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

const patternList = fc.array(pathPatterns, { minLength: 1, maxLength: 3 });

const fileSelectors: fc.Arbitrary<Omit<FileSelector, 'name'>> = fc
  .record({
    workload: workloadConditions,
    operation: seldom(list(fileOperations), 10),
    targetFilePath: seldom(patternList, 2),
    volumes: seldom(fc.constantFrom('ignoreVolumeMounts', 'ignoreVolumeFiles'), 3),
    ignore: fc.boolean(),
  })
  .chain(({ workload, operation, targetFilePath, volumes, ignore }) =>
    list(fileOperations).map((operations) => ({
      ...workload,
      ...withoutAbsent({ operation: operation === undefined ? operations : undefined, targetFilePath }),
      ...(volumes === undefined ? {} : { [volumes]: ignore }),
    })),
  );

const processSelectors: fc.Arbitrary<Omit<ProcessSelector, 'name'>> = fc
  .record({
    workload: workloadConditions,
    operation: fc.oneof(
      { weight: 9, arbitrary: list(processOperations) },
      { weight: 1, arbitrary: fc.constant(undefined) },
    ),
    processExecutable: seldom(patternList, 2),
    processName: seldom(list(['a', 'b', 'ab', 'bin', 'a\nb', 'a-very-long-nam']), 4),
    sessionLeaderInteractive: seldom(fc.boolean(), 4),
  })
  .map(({ workload, ...rest }) => ({ ...workload, ...withoutAbsent(rest) }));

const responseActions = [
  ['log'],
  ['alert'],
  ['alert', 'log'],
  ['alert', 'block'],
  ['block', 'log', 'alert'],
] as const;

function sectionOf<S>(selectors: fc.Arbitrary<Omit<S, 'name'>>): fc.Arbitrary<PolicySection<S>> {
  return fc.array(selectors, { minLength: 1, maxLength: 5 }).chain((bare) => {
    const selectorNames = bare.map((_, index) => `s${index}`);
    const some = fc.shuffledSubarray(selectorNames, { minLength: 1, maxLength: Math.min(3, bare.length) });
    const response: fc.Arbitrary<PolicyResponse> = fc.record({
      match: some,
      exclude: fc.oneof(fc.constant([]), some),
      actions: fc.constantFrom(...responseActions),
    });
    const named = bare.map((selector, index) => ({ ...selector, name: `s${index}` }) as S);
    return fc
      .array(response, { minLength: 1, maxLength: 4 })
      .map((responses) => ({ selectors: named, responses }));
  });
}

/**
 * Policies whose values are well-formed. Rules between values (`block` without a path, say) need not hold:
 * they change nothing of the meaning.
 */
export const policies: fc.Arbitrary<Policy> = fc
  .record({
    file: sectionOf<FileSelector>(fileSelectors),
    process: sectionOf<ProcessSelector>(processSelectors),
  })
  .chain((both) =>
    fc
      .constantFrom('both', 'file', 'process')
      .map((kept) => (kept === 'both' ? both : { [kept]: both[kept as 'file'] })),
  )
  .map((policy) => policy as unknown as Policy);

const fact = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null | undefined> =>
  fc.oneof(
    { weight: 6, arbitrary },
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 2, arbitrary: fc.constant(undefined) },
  );

const podNameFacts: fc.Arbitrary<PodName> = fc.oneof(
  fc.constantFrom(...podNames).map((name) => ({ name })),
  fc.constantFrom(...podNames).map((generateName) => ({ generateName })),
);

/** Every fact known, known to be absent, or unknown. */
export const workloads: fc.Arbitrary<Workload> = fc.record({
  image: fact(fc.constantFrom(...imageTexts).map((text) => parseImage(text) ?? null)),
  namespace: fact(fc.constantFrom(...namespaces)),
  podName: fact(podNameFacts),
  podLabels: fact(
    fc
      .dictionary(fc.constantFrom('app', 'tier'), fc.constantFrom(...labelValues))
      .map((labels) => new Map(Object.entries(labels))),
  ),
  clusterId: fact(fc.constantFrom('id-1', 'id-2')),
  clusterName: fact(fc.constantFrom('east', 'west')),
});

export const fileEvents: fc.Arbitrary<FileEvent> = fc.record({
  section: fc.constant('file' as const),
  operations: fc.uniqueArray(fc.constantFrom(...fileOperations), { minLength: 1, maxLength: 2 }),
  path: paths,
  mount: fc.constantFrom('root', 'volume', 'volumeFile'),
});

export const processEvents: fc.Arbitrary<ProcessEvent> = fc.record({
  section: fc.constant('process' as const),
  operation: fc.constantFrom(...processOperations),
  executable: fc.oneof(
    { weight: 9, arbitrary: paths },
    { weight: 1, arbitrary: fc.constant('/bin/a-very-long-name') },
  ),
  interactive: fc.constantFrom(true, false, undefined),
});

export const events: fc.Arbitrary<PolicyEvent> = fc.oneof(fileEvents, processEvents);

/** Pod name suffixes as the API server makes them. */
export const suffixes: fc.Arbitrary<string> = fc
  .array(fc.constantFrom(...suffixAlphabet), { minLength: 5, maxLength: 5 })
  .map((characters) => characters.join(''));
