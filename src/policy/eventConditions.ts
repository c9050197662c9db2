/** The conditions about events, one line each. Source: policy-language.md section 4. */

import { pathMatcher } from './glob.ts';
import { impliedOperations } from './operations.ts';
import type { FileEvent, FileSelector, ProcessEvent, ProcessSelector } from './types.ts';

/** The kernel keeps this many bytes of a task's name. */
const processNameBytes = 15;

/** A condition that a selector has, and how it stands to an event. */
export interface EventCondition {
  readonly condition: string;
  /** As written in the policy. */
  readonly values: readonly string[];
  /** What the event has; `undefined` when it could not be read. */
  readonly found: string | undefined;
  /** The first value that makes the condition hold; `undefined` when none does. */
  readonly heldBy: string | undefined;
}

/** Every condition of the selector that is about events. It matches when some value holds each of them. */
export function fileConditions(selector: FileSelector, event: FileEvent): EventCondition[] {
  const operations = impliedOperations(event.operations);
  const { operation, targetFilePath, ignoreVolumeMounts, ignoreVolumeFiles } = selector;
  return [
    answer('operation', operation, event.operations.join(', '), (value) => operations.has(value)),
    answer('targetFilePath', targetFilePath, event.path, pathTest(targetFilePath, event.path)),
    answer('ignoreVolumeMounts', ignoreVolumeMounts, event.mount, (on) => !on || event.mount === 'root'),
    answer('ignoreVolumeFiles', ignoreVolumeFiles, event.mount, (on) => !on || event.mount !== 'volumeFile'),
  ].flat();
}

/** As `fileConditions`. A session whose terminal could not be read is neither interactive nor not. */
export function processConditions(selector: ProcessSelector, event: ProcessEvent): EventCondition[] {
  const { operation, processExecutable, processName, sessionLeaderInteractive } = selector;
  const { executable, interactive } = event;
  const name = processNameOf(executable);
  return [
    answer('operation', operation, event.operation, (value) => value === event.operation),
    answer('processExecutable', processExecutable, executable, pathTest(processExecutable, executable)),
    answer('processName', processName, new TextDecoder().decode(name), (value) => isText(name, value)),
    answer(
      'sessionLeaderInteractive',
      sessionLeaderInteractive,
      interactive,
      (value) => value === interactive,
    ),
  ].flat();
}

function answer<V extends string | boolean>(
  condition: string,
  values: V | readonly V[] | undefined,
  found: string | boolean | undefined,
  holds: (value: V) => boolean,
): EventCondition[] {
  if (values === undefined) return [];
  const list = typeof values === 'object' ? values : [values];
  const heldBy = list.find(holds);
  return [{ condition, values: list.map(String), found: found?.toString(), heldBy: heldBy?.toString() }];
}

/** What the kernel calls a task that executes the file: the first 15 bytes of its last component. */
export function processNameOf(executable: string): Uint8Array {
  const bytes = new TextEncoder().encode(executable.slice(executable.lastIndexOf('/') + 1));
  return bytes.subarray(0, processNameBytes);
}

/** Bytes are compared, since the 15th may lie within a character. */
export function isText(bytes: Uint8Array, text: string): boolean {
  const expected = new TextEncoder().encode(text);
  return bytes.length === expected.length && bytes.every((byte, index) => byte === expected[index]);
}

/** Expressions are built once for each list of patterns and live as long as the list. */
const matchers = new WeakMap<readonly string[], ReadonlyMap<string, (path: string) => boolean>>();

function pathTest(patterns: readonly string[] = [], path: string): (pattern: string) => boolean {
  const known = matchers.get(patterns) ?? new Map(patterns.map((pattern) => [pattern, pathMatcher(pattern)]));
  matchers.set(patterns, known);
  return (pattern) => known.get(pattern)?.(path) === true;
}
