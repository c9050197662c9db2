/** The table of conditions: where each may stand and what its values are. Source: policy-language.md section 2. */

import {
  type FileOperation,
  type FileSelector,
  fileOperations,
  type ProcessOperation,
  type ProcessSelector,
  processOperations,
  type Section,
} from './types.ts';
import {
  absolutePath,
  type CheckValue,
  imageFullName,
  imageName,
  literal,
  namePrefix,
  pathWildcards,
  podLabel,
  symlinkedPath,
} from './valueForms.ts';

/** A selector of either section, for what does not depend on the section. */
export interface AnySelector extends Omit<FileSelector, 'operation'>, Omit<ProcessSelector, 'operation'> {
  readonly operation?: readonly (FileOperation | ProcessOperation)[];
}

export type ConditionName = Exclude<keyof AnySelector, 'name'>;

export type Condition = { readonly sections: readonly Section[] } & (
  | { readonly kind: 'operation' }
  | { readonly kind: 'boolean'; readonly falseIsAbsent: boolean }
  | { readonly kind: 'values'; readonly maxBytes: number; readonly checks: readonly CheckValue[] }
);

const both = ['file', 'process'] as const;

const path = [absolutePath, pathWildcards, symlinkedPath];

/** The checks are made in this order, up to the first that finds an error. */
function values(sections: readonly Section[], maxBytes: number, ...checks: CheckValue[]): Condition {
  return { kind: 'values', sections, maxBytes, checks };
}

const table: Record<ConditionName, Condition> = {
  operation: { kind: 'operation', sections: both },
  containerImageFullName: values(both, 511, imageFullName),
  containerImageName: values(both, 511, imageName),
  containerImageTag: values(both, 511, literal),
  kubernetesClusterId: values(both, 511, literal),
  kubernetesClusterName: values(both, 511, literal),
  kubernetesNamespace: values(both, 511, literal),
  kubernetesPodName: values(both, 511, namePrefix),
  kubernetesPodLabel: values(both, 511, podLabel),
  targetFilePath: values(['file'], 255, ...path),
  ignoreVolumeMounts: { kind: 'boolean', sections: ['file'], falseIsAbsent: true },
  ignoreVolumeFiles: { kind: 'boolean', sections: ['file'], falseIsAbsent: true },
  processExecutable: values(['process'], 511, ...path),
  // The kernel's comm holds 15 bytes and a NUL.
  processName: values(['process'], 15, literal),
  sessionLeaderInteractive: { kind: 'boolean', sections: ['process'], falseIsAbsent: false },
};

/** A `Map`, so that a key such as `constructor` is not found in it. */
export const conditions: ReadonlyMap<string, Condition> = new Map(Object.entries(table));

/** Conditions of which a selector may have one. */
export const exclusiveConditions: readonly (readonly [ConditionName, ConditionName])[] = [
  ['containerImageFullName', 'containerImageName'],
  ['ignoreVolumeMounts', 'ignoreVolumeFiles'],
];

export const operationsOf = { file: fileOperations, process: processOperations } as const;

/** File integrity monitoring: operations on files of any kind, which are so many that they need a path. */
export const monitoringOperations: ReadonlySet<FileOperation | ProcessOperation> = new Set([
  'createFile',
  'modifyFile',
  'deleteFile',
]);

/** Whether the key is a condition of the section. */
export function isConditionOf(section: Section, key: string): key is ConditionName {
  return conditions.get(key)?.sections.includes(section) ?? false;
}

/** The keys that a selector of the section may have. */
export function selectorKeys(section: Section): string[] {
  return ['name', ...[...conditions.keys()].filter((key) => isConditionOf(section, key))];
}
