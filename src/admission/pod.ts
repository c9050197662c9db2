/** What admission reads of a pod. Trusts nothing: the form is checked field by field, in time linear in the pod. */

import { GateError } from '../errors.ts';
import { suffixAlphabet } from '../policy/podName.ts';
import type { PodName } from '../policy/types.ts';
import { isJsonObject, type JsonObject } from './review.ts';

export interface Container {
  readonly name: string;
  /** As written; a later webhook may fill it in, and this one is then called again. */
  readonly image: string | undefined;
  /** Whether its own first program gets a terminal. */
  readonly tty: boolean;
}

export interface Pod {
  /** '' when it has none yet: a controller's pod reaches the mutating webhook with `generateName` alone. */
  readonly name: string;
  readonly generateName: string;
  readonly labels: ReadonlyMap<string, string>;
  /** `undefined` when the pod has no `metadata.annotations`. */
  readonly annotations: JsonObject | undefined;
  /** Init, ordinary and ephemeral ones. */
  readonly containers: readonly Container[];
  /** The name of the first ordinary one; '' when there is none. */
  readonly mainContainer: string;
  /** Their images as written. */
  readonly images: readonly string[];
  /** The kubelet's shadow of a static pod; what is changed on it has no effect. */
  readonly isMirror: boolean;
  /** Deletion has begun. */
  readonly isTerminating: boolean;
}

const containerLists = ['initContainers', 'containers', 'ephemeralContainers'] as const;
const mirrorKey = 'kubernetes.io/config.mirror';
const madeName = new RegExp(`^[${suffixAlphabet}]{5}$`);

/** @throws REVIEW_OBJECT naming the field that does not have the form of a pod's */
export function readPod(object: unknown): Pod {
  if (!isJsonObject(object)) throw new GateError('REVIEW_OBJECT', '`request.object` is not a pod');
  const metadata = objectAt(object, 'metadata');
  if (metadata === undefined) throw new GateError('REVIEW_OBJECT', 'the pod has no `metadata`');
  const annotations = objectAt(metadata, 'annotations');
  const spec = objectAt(object, 'spec') ?? {};
  const containers = containerLists.flatMap((list) => containersOf(spec, list));
  return {
    name: textAt(metadata, 'name'),
    generateName: textAt(metadata, 'generateName'),
    labels: labelsOf(objectAt(metadata, 'labels')),
    annotations,
    containers,
    mainContainer: containersOf(spec, 'containers')[0]?.name ?? '',
    images: containers.flatMap(({ image = [] }) => image),
    isMirror: annotations?.[mirrorKey] !== undefined,
    isTerminating: textAt(metadata, 'deletionTimestamp') !== '',
  };
}

/**
 * What may be taken for the pod's name, best first: the name it has, and the `generateName` of which the API
 * server made that name, since the pod was annotated while only that was known. `undefined`: nothing is known.
 */
export function podNamesOf({ name, generateName }: Pod): [PodName | undefined, ...PodName[]] {
  if (name === '') return [generateName === '' ? undefined : { generateName }];
  const base = generateName.slice(0, 58);
  // A user may send both with nothing in common; then `generateName` says nothing.
  const isMade = generateName !== '' && name.startsWith(base) && madeName.test(name.slice(base.length));
  return isMade ? [{ name }, { generateName }] : [{ name }];
}

function containersOf(spec: JsonObject, list: (typeof containerLists)[number]): Container[] {
  const containers = spec[list] ?? [];
  if (!Array.isArray(containers)) throw new GateError('REVIEW_OBJECT', `\`spec.${list}\` is not a list`);
  return containers.filter(isJsonObject).map(({ name, image, tty }) => ({
    name: typeof name === 'string' ? name : '',
    image: typeof image === 'string' ? image : undefined,
    tty: tty === true,
  }));
}

function labelsOf(labels: JsonObject = {}): Map<string, string> {
  const map = new Map<string, string>();
  for (const [key, value] of Object.entries(labels)) {
    if (typeof value !== 'string') {
      throw new GateError('REVIEW_OBJECT', '`metadata.labels` holds a value that is not a string');
    }
    map.set(key, value);
  }
  return map;
}

function objectAt(object: JsonObject, key: string): JsonObject | undefined {
  const value = object[key] ?? undefined;
  if (value === undefined || isJsonObject(value)) return value;
  throw new GateError('REVIEW_OBJECT', `\`${key}\` of the pod is not an object`);
}

function textAt(object: JsonObject, key: string): string {
  const value = object[key] ?? '';
  if (typeof value === 'string') return value;
  throw new GateError('REVIEW_OBJECT', `\`metadata.${key}\` of the pod is not a string`);
}
