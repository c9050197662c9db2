/** What a container's OCI configuration says of its image and pod. */

import { parseJson, stringsAt, textAt, valueAt } from './smallFile.ts';

/** The parts of an OCI configuration that tell what a container is. */
export interface OciSpec {
  readonly annotations: ReadonlyMap<string, string>;
  /** Whether it has the capabilities of the host's root and sees all of `/proc`: what runtimes call privileged. */
  readonly privileged: boolean;
  /** Where the root filesystem lies, as the runtime was told. */
  readonly rootPath: string | undefined;
}

/** What annotations tell. `undefined`: they do not say. */
export interface AnnotatedFacts {
  /** `cri` for containers of the kubelet (containerd and cri-o), `libpod` for podman's. */
  readonly manager: 'cri' | 'libpod' | undefined;
  readonly image: string | undefined;
  readonly containerName: string | undefined;
  readonly isSandbox: boolean;
  readonly sandboxId: string | undefined;
  readonly pod:
    | { readonly name: string; readonly namespace: string; readonly uid: string | undefined }
    | undefined;
  /** The pod's labels, which cri-o writes on the sandbox. */
  readonly podLabels: ReadonlyMap<string, string> | undefined;
  readonly podAnnotations: ReadonlyMap<string, string> | undefined;
}

/** Reads the JSON of an OCI configuration; `undefined` when it is none. */
export function parseOciSpec(json: unknown): OciSpec | undefined {
  if (typeof json !== 'object' || json === null) return undefined;
  return {
    annotations: stringsAt(json, 'annotations') ?? new Map(),
    privileged: isPrivileged(json),
    rootPath: textAt(json, 'root', 'path'),
  };
}

function isPrivileged(json: object): boolean {
  const bounding = valueAt(json, 'process', 'capabilities', 'bounding');
  const masked = valueAt(json, 'linux', 'maskedPaths');
  return (
    Array.isArray(bounding) &&
    ['CAP_SYS_ADMIN', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO'].every((name) => bounding.includes(name)) &&
    !(Array.isArray(masked) && masked.length > 0)
  );
}

/** Understands the annotations of containerd's CRI plugin, of cri-o, of podman, and the OCI name of an image. */
export function factsOfAnnotations(annotations: ReadonlyMap<string, string>): AnnotatedFacts {
  const first = (...keys: string[]): string | undefined => {
    for (const key of keys) {
      const value = annotations.get(key);
      if (value !== undefined && value !== '') return value;
    }
    return undefined;
  };
  const containerType = first('io.kubernetes.cri.container-type', 'io.kubernetes.cri-o.ContainerType');
  const libpod = annotations.get('io.container.manager') === 'libpod';
  const isSandbox = containerType === 'sandbox';
  const name = first('io.kubernetes.cri.sandbox-name', 'io.kubernetes.pod.name');
  const namespace = first('io.kubernetes.cri.sandbox-namespace', 'io.kubernetes.pod.namespace');
  const uid = first('io.kubernetes.cri.sandbox-uid', 'io.kubernetes.pod.uid');
  const kubernetes = !libpod && containerType !== undefined;
  const ofSandbox = (key: string) =>
    isSandbox ? stringsAt({ value: parseJson(annotations.get(key) ?? '') }, 'value') : undefined;
  return {
    manager: libpod ? 'libpod' : kubernetes ? 'cri' : undefined,
    image: first(
      'io.kubernetes.cri.image-name',
      'io.kubernetes.cri-o.ImageName',
      'org.opencontainers.image.ref.name',
    ),
    containerName: first('io.kubernetes.cri.container-name', 'io.kubernetes.container.name'),
    isSandbox,
    sandboxId: first('io.kubernetes.cri.sandbox-id', 'io.kubernetes.cri-o.SandboxID'),
    pod: kubernetes && name !== undefined && namespace !== undefined ? { name, namespace, uid } : undefined,
    podLabels: ofSandbox('io.kubernetes.cri-o.Labels'),
    podAnnotations: ofSandbox('io.kubernetes.cri-o.Annotations'),
  };
}

const addedByKubelet = new Set(
  ['pod.name', 'pod.namespace', 'pod.uid', 'container.name'].map((key) => `io.kubernetes.${key}`),
);

/** A sandbox's labels without those that the kubelet adds for itself: the labels of the pod. */
export function podLabelsOf(labels: ReadonlyMap<string, string>): Map<string, string> {
  return new Map(
    [...labels].filter(([key]) => !addedByKubelet.has(key) && !key.startsWith('io.cri-containerd.')),
  );
}
