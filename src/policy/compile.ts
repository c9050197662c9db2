/** Makes a policy ready to be bound: everything that depends on the policy alone is worked out here, once. */

import { coversEvents } from './covers.ts';
import { normalizeImageName } from './image.ts';
import { type LabelPattern, parseLabelPattern } from './labels.ts';
import { type NamePattern, parseNamePattern } from './podName.ts';
import {
  type BoundResponse,
  type FileSelector,
  type Policy,
  type PolicyResponse,
  type PolicySection,
  type ProcessSelector,
  type WorkloadCondition,
  type WorkloadConditions,
  workloadConditions,
} from './types.ts';

/** The conditions that name one thing and are held by equality. */
export type SimpleCondition = Exclude<WorkloadCondition, 'kubernetesPodName' | 'kubernetesPodLabel'>;

/** A condition about the workload with its values prepared; it holds when any value does. */
export type WorkloadTest =
  | {
      readonly condition: SimpleCondition;
      /** Full image names are in normal form. A list where they are few, which is found as quickly and takes a tenth of the memory. */
      readonly values: ReadonlySet<string> | readonly string[];
    }
  | { readonly condition: 'kubernetesPodName'; readonly patterns: readonly NamePattern[] }
  | { readonly condition: 'kubernetesPodLabel'; readonly patterns: readonly LabelPattern[] };

export interface CompiledSelector<S> {
  readonly selector: S;
  /** All must hold. Empty: the selector holds for every workload. */
  readonly workload: readonly WorkloadTest[];
}

export interface CompiledResponse extends BoundResponse {
  /**
   * For each entry of `match`, the exclude selectors that match every event which it matches. While one of
   * them holds for the workload, that match selector cannot make the response fire.
   */
  readonly coveredBy: readonly (readonly number[])[];
}

export interface CompiledSection<S> {
  /** In the order of the document; responses refer to them by index. */
  readonly selectors: readonly CompiledSelector<S>[];
  readonly responses: readonly CompiledResponse[];
}

/** Made once per generation, bound many times. A section that the policy lacks is empty. */
export interface CompiledPolicy {
  readonly id: string;
  readonly file: CompiledSection<FileSelector>;
  readonly process: CompiledSection<ProcessSelector>;
}

/** Most policies lack one section; ten thousand share this. */
const noSection: CompiledSection<never> = { selectors: [], responses: [] };
const nothing: readonly number[] = [];
const fewValues = 8;

/** Total: a validated policy always compiles. Time is linear in the policy, plus matches times excludes. */
export function compile(id: string, policy: Policy): CompiledPolicy {
  return { id, file: compileSection(policy.file), process: compileSection(policy.process) };
}

function compileSection<S extends FileSelector | ProcessSelector>(
  section: PolicySection<S> | undefined,
): CompiledSection<S> {
  if (section === undefined) return noSection;
  const indexes = new Map<string, number>();
  section.selectors.forEach(({ name }, index) => {
    // In lenient mode a name may come twice; the first one counts.
    if (!indexes.has(name)) indexes.set(name, index);
  });
  return {
    selectors: section.selectors.map((selector) => ({ selector, workload: compileWorkload(selector) })),
    responses: section.responses.map((response) => compileResponse(response, section.selectors, indexes)),
  };
}

function compileResponse<S extends FileSelector | ProcessSelector>(
  response: PolicyResponse,
  selectors: readonly S[],
  indexes: ReadonlyMap<string, number>,
): CompiledResponse {
  const match = indexesOf(response.match, indexes);
  const exclude = indexesOf(response.exclude, indexes);
  const covered = (by: number, index: number): boolean => {
    const [excluding, matching] = [selectors[by], selectors[index]];
    return excluding !== undefined && matching !== undefined && coversEvents(excluding, matching);
  };
  const coveredBy = match.map((index) => compact(exclude.filter((by) => covered(by, index))));
  return { match, exclude, actions: response.actions, coveredBy };
}

function indexesOf(names: readonly string[], indexes: ReadonlyMap<string, number>): readonly number[] {
  return compact(names.flatMap((name) => indexes.get(name) ?? []));
}

/** What `flatMap` and `filter` make has room for 16 more. */
function compact<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? (nothing as readonly never[]) : list.slice();
}

/** The tests of the conditions that the selector has, in the order of the language's table. */
export function compileWorkload(conditions: WorkloadConditions): readonly WorkloadTest[] {
  const tests = workloadConditions.flatMap((condition) => {
    const values = conditions[condition];
    return values === undefined ? [] : [compileCondition(condition, values)];
  });
  return compact(tests);
}

export function compileCondition(condition: WorkloadCondition, values: readonly string[]): WorkloadTest {
  switch (condition) {
    case 'kubernetesPodName':
      return { condition, patterns: values.map(parseNamePattern) };
    case 'kubernetesPodLabel':
      return { condition, patterns: values.map(parseLabelPattern) };
    case 'containerImageFullName':
      // A value that no runtime could pull equals no image's name; kept, so that the condition stays false.
      return {
        condition,
        values: findable([...new Set(values.map((value) => normalizeImageName(value) ?? value))]),
      };
    default:
      return { condition, values: findable(values) };
  }
}

function findable(values: readonly string[]): ReadonlySet<string> | readonly string[] {
  return values.length > fewValues ? new Set(values) : values;
}
