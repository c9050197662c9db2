/** Reads the pod that `explain --pod` asks about: a Pod, or the template of a workload. */

import { GateError } from '../errors.ts';
import { laterLabelsOf, podNameOfController } from '../policy/controllerPods.ts';
import type { PodName } from '../policy/types.ts';

export interface PodContainer {
  readonly name: string;
  /** As written. */
  readonly image: string;
}

export interface Pod {
  /** `Pod`, `Deployment`, ... */
  readonly kind: string;
  /** Of the object itself; `undefined` when it has none. */
  readonly name: string | undefined;
  readonly namespace: string;
  /** `undefined` where only a controller knows it. */
  readonly podName: PodName | undefined;
  /** A label that only a controller can give its value has none. */
  readonly labels: ReadonlyMap<string, string | undefined>;
  /** Init, sidecar, ordinary and ephemeral ones, in this order. At least one. */
  readonly containers: readonly PodContainer[];
}

type Fields = Readonly<Record<string, unknown>>;

/** What a manifest says of a pod. `source` names it in messages. @throws USAGE */
export function readPod(document: unknown, source: string): Pod {
  const manifest = fieldsOf(document);
  const kind = textOf(manifest.kind) ?? '';
  const metadata = fieldsOf(manifest.metadata);
  const template = templateOf(kind, manifest);
  const containers = containersOf(fieldsOf(template.spec));
  if (containers.length === 0) {
    throw new GateError(
      'USAGE',
      `\`${source}\` is neither a Pod nor a workload: no containers with name and image`,
    );
  }
  return {
    kind,
    name: textOf(metadata.name),
    namespace: textOf(metadata.namespace) ?? 'default',
    podName: podNameOf(kind, metadata, fieldsOf(manifest.spec)),
    labels: labelsOf(kind, fieldsOf(fieldsOf(template.metadata).labels)),
    containers,
  };
}

function templateOf(kind: string, manifest: Fields): Fields {
  const spec = fieldsOf(manifest.spec);
  switch (kind) {
    case 'Pod':
      return manifest;
    case 'PodTemplate':
      return fieldsOf(manifest.template);
    case 'CronJob':
      return fieldsOf(fieldsOf(fieldsOf(spec.jobTemplate).spec).template);
    default:
      return fieldsOf(spec.template);
  }
}

function podNameOf(kind: string, metadata: Fields, spec: Fields): PodName | undefined {
  const name = textOf(metadata.name);
  const generateName = textOf(metadata.generateName);
  if (kind === 'Pod' && name !== undefined) return { name };
  if (kind === 'Pod' && generateName !== undefined) return { generateName };
  return name === undefined ? undefined : podNameOfController(kind, name, isIndexed(kind, spec));
}

function isIndexed(kind: string, spec: Fields): boolean {
  const job = kind === 'CronJob' ? fieldsOf(fieldsOf(spec.jobTemplate).spec) : spec;
  return job.completionMode === 'Indexed';
}

function containersOf(spec: Fields): PodContainer[] {
  const lists = [spec.initContainers, spec.containers, spec.ephemeralContainers];
  return lists.flatMap((list) => {
    const entries: unknown[] = Array.isArray(list) ? list : [];
    return entries.flatMap((entry) => {
      const { name, image } = fieldsOf(entry);
      return typeof name === 'string' && typeof image === 'string' ? { name, image } : [];
    });
  });
}

function labelsOf(kind: string, labels: Fields): Map<string, string | undefined> {
  const known = new Map<string, string | undefined>(
    Object.entries(labels).map(([key, value]) => [key, String(value)]),
  );
  // As a person writes it, the template of a Job has none of its labels yet; as the API server gives it, it has.
  const isJob = kind === 'Job';
  for (const key of laterLabelsOf(isJob ? 'CronJob' : kind)) {
    if (!isJob || !known.has(key)) known.set(key, undefined);
  }
  return known;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
