/** When an exclude selector leaves nothing of a match selector. */

import type { AnySelector } from './conditions.ts';
import { normalizeImageName } from './image.ts';
import { impliedOperations } from './operations.ts';
import { fileOperations, processOperations } from './types.ts';
import { literalCover, pathCover, prefixCover, type ValueCover } from './valueCover.ts';

/**
 * Whether every event and every workload that `match` can match is matched by `exclude`, both of one section.
 * Where that cannot be told it is `false`: it never says `true` wrongly. Linear in the values of the two.
 */
export function covers(exclude: AnySelector, match: AnySelector): boolean {
  return coversWorkload(exclude, match) && coversEvents(exclude, match);
}

/** As `covers`, of the conditions about events alone: for `bind`, where those about the workload are answered. */
export function coversEvents(exclude: AnySelector, match: AnySelector): boolean {
  return (
    coversOperations(exclude.operation, match.operation) &&
    coversPaths(exclude.targetFilePath, match.targetFilePath) &&
    coversPaths(exclude.processExecutable, match.processExecutable) &&
    coversValues(exclude.processName, match.processName) &&
    coversMounts(exclude, match) &&
    coversFlag(exclude.sessionLeaderInteractive, match.sessionLeaderInteractive)
  );
}

function coversWorkload(exclude: AnySelector, match: AnySelector): boolean {
  return (
    coversValues(exclude.containerImageFullName, match.containerImageFullName, imageCover) &&
    coversValues(exclude.containerImageName, match.containerImageName) &&
    coversValues(exclude.containerImageTag, match.containerImageTag) &&
    coversValues(exclude.kubernetesClusterId, match.kubernetesClusterId) &&
    coversValues(exclude.kubernetesClusterName, match.kubernetesClusterName) &&
    coversValues(exclude.kubernetesNamespace, match.kubernetesNamespace) &&
    coversValues(exclude.kubernetesPodName, match.kubernetesPodName, prefixCover) &&
    coversValues(exclude.kubernetesPodLabel, match.kubernetesPodLabel, prefixCover)
  );
}

type MakeCover = (values: readonly string[]) => ValueCover;

/** One selector is compared with many; a list belongs to one condition, so it has one cover. */
const coverOfList = new WeakMap<readonly string[], ValueCover>();

function coversValues(
  exclude: readonly string[] | undefined,
  match: readonly string[] | undefined,
  makeCover: MakeCover = literalCover,
): boolean {
  if (exclude === undefined) return true;
  if (match === undefined) return false;
  const cover = coverOfList.get(exclude) ?? makeCover(exclude);
  coverOfList.set(exclude, cover);
  return match.every(cover.covers);
}

function coversPaths(exclude: readonly string[] | undefined, match: readonly string[] | undefined): boolean {
  return exclude?.includes('/**') || coversValues(exclude, match, pathCover);
}

function imageCover(values: readonly string[]): ValueCover {
  const names = new Set(values.map(normalizeImageName));
  return {
    covers: (value) => {
      const name = normalizeImageName(value);
      return name !== undefined && names.has(name);
    },
  };
}

/** Creating an executable is creating a file, so an exclude of the second covers the first. */
function coversOperations(exclude: AnySelector['operation'], match: AnySelector['operation']): boolean {
  if (exclude === undefined) return true;
  const excluded = new Set<string>(exclude);
  const ofSection = fileOperations.some((operation) => excluded.has(operation))
    ? fileOperations
    : processOperations;
  return (match ?? ofSection).every((operation) => {
    const implied = impliedOperations(fileOperations.filter((name) => name === operation));
    return excluded.has(operation) || [...implied].some((name) => excluded.has(name));
  });
}

/** Leaving out every volume leaves out those that are files, too. */
function coversMounts(exclude: AnySelector, match: AnySelector): boolean {
  if (exclude.ignoreVolumeMounts) return match.ignoreVolumeMounts === true;
  if (exclude.ignoreVolumeFiles) return match.ignoreVolumeFiles === true || match.ignoreVolumeMounts === true;
  return true;
}

function coversFlag(exclude: boolean | undefined, match: boolean | undefined): boolean {
  return exclude === undefined || exclude === match;
}
