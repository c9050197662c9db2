/**
 * Policy sets and pods made to mislead an index: few values that begin one another, conditions that hold one by one
 * but not together, excludes that take away what matched, names yet to be made, and facts that nobody knows.
 */

import type { PodFacts } from '../../src/policy/bind.ts';
import { type CompiledPolicy, compile } from '../../src/policy/compile.ts';
import type { PodName, Policy, WorkloadCondition } from '../../src/policy/types.ts';

/** Numbers from 0 to below `limit`, the same for the same seed. */
export type Draw = (limit: number) => number;

/** Mulberry32. */
export function drawFrom(seed: number): Draw {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

const longBase = 'a'.repeat(57);
/** The suffix of a made name is of `bcdfghjklmnpqrstvwxz2456789`: `b4d` can be in one, `a` and `-` cannot. */
const names = [
  'web',
  'web-',
  'web-b',
  'web-b4',
  'web-b4dfg',
  'web-b4dfgh',
  'web-a',
  'w',
  'b4dfg',
  'bb4dfg',
  `${longBase}b`,
  `${longBase}bb`,
  `${longBase}bb4dfg`,
  `${longBase}b-b`,
];
const images = [
  'nginx',
  'nginx:1',
  'redis',
  'redis:1',
  'x/nginx',
  'nginx@sha256:',
  'library/nginx:2',
  'NOT AN IMAGE',
  '',
];
const values: Readonly<Record<WorkloadCondition, readonly string[]>> = {
  containerImageFullName: ['docker.io/nginx', 'library/nginx', 'index.docker.io/nginx', 'x/nginx', 'X/no'],
  containerImageName: ['nginx', 'redis', 'none'],
  containerImageTag: ['1', '2', 'latest'],
  kubernetesClusterId: ['id', 'other'],
  kubernetesClusterName: ['east', 'west'],
  kubernetesNamespace: ['shop', 'bank', ''],
  kubernetesPodName: [...names, ...names.map((name) => `${name}*`), '*', '*b'],
  kubernetesPodLabel: [
    'a:',
    'a:*',
    'a:w',
    'a:w*',
    'a:we*',
    'a:web',
    'a:w*b',
    'b:*',
    'b:w',
    ':*',
    '__proto__:w',
  ],
};
const conditions = Object.keys(values) as WorkloadCondition[];

export function pick<T>(draw: Draw, from: readonly T[]): T {
  return from[draw(from.length)] as T;
}

/** Up to `atMost` of them, at least one, perhaps one twice. */
function some<T>(draw: Draw, from: readonly T[], atMost: number): T[] {
  return Array.from({ length: 1 + draw(atMost) }, () => pick(draw, from));
}

function selectorOf(draw: Draw, index: number, operations: readonly string[]): object {
  const selector: Record<string, unknown> = { name: `s${index}`, operation: some(draw, operations, 2) };
  // No condition at all is the broadest selector there is, and as an exclude the deadliest.
  for (let count = draw(9) === 0 ? 0 : 1 + draw(3); count > 0; count--) {
    const condition = pick(draw, conditions);
    selector[condition] = some(draw, values[condition], 3);
  }
  return selector;
}

function sectionOf(draw: Draw, operations: readonly string[]): object {
  const selectors = Array.from({ length: 1 + draw(4) }, (_, index) => selectorOf(draw, index, operations));
  const selectorNames = selectors.map((_, index) => `s${index}`);
  const responses = Array.from({ length: 1 + draw(2) }, () => ({
    match: some(draw, selectorNames, 3),
    exclude: draw(3) === 0 ? some(draw, selectorNames, 2) : [],
    actions: ['log'],
  }));
  return { selectors, responses };
}

export function drawPolicy(draw: Draw, id: string): CompiledPolicy {
  const kept = draw(3);
  const policy = {
    ...(kept !== 0 && { file: sectionOf(draw, ['createFile', 'deleteFile']) }),
    ...(kept !== 1 && { process: sectionOf(draw, ['exec', 'fork']) }),
  };
  return compile(id, policy as unknown as Policy);
}

/** Every fact known, absent or unknown; as a rule known, as at admission. */
export function drawPod(draw: Draw): PodFacts {
  return {
    images:
      draw(12) === 0 ? [] : some(draw, images, 3).map((image) => image.replace(/:$/, `:${'0'.repeat(64)}`)),
    namespace: fact(draw, 8, ['shop', 'bank', '', 'else']),
    podName: fact(draw, 6, [podNameOf(draw)]),
    podLabels: fact(draw, 8, [labelsOf(draw)]),
    clusterId: fact(draw, 6, ['id', 'third']),
    clusterName: fact(draw, 4, ['east', 'third']),
  };
}

function fact<T>(draw: Draw, oneOf: number, known: readonly T[]): T | null | undefined {
  const kind = draw(oneOf * 2);
  if (kind === 0) return null;
  return kind === 1 ? undefined : pick(draw, known);
}

function podNameOf(draw: Draw): PodName {
  const name = draw(8) === 0 ? `${pick(draw, names)}${pick(draw, names)}` : pick(draw, names);
  switch (draw(5)) {
    case 0:
      return { begin: name, restOf: pick(draw, ['b4dfgh', '-ab', '']) };
    case 1:
    case 2:
      return { name };
    default:
      return { generateName: name };
  }
}

function labelsOf(draw: Draw): Map<string, string | undefined> {
  const labels = new Map<string, string | undefined>();
  for (let count = draw(3); count > 0; count--) {
    const value = pick(draw, ['', 'w', 'we', 'web', 'w*b', 'x']);
    labels.set(pick(draw, ['a', 'b', '', '__proto__']), draw(6) === 0 ? undefined : value);
  }
  return labels;
}
