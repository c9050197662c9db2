/**
 * The words of the policy language as types. A `Policy` is made by `validate` alone and a `BoundPolicy` by
 * `bind` alone, so what comes later in the pipeline need not check again.
 */

import type { FaultCode, SourceFaultCode } from '../errors.ts';

export const fileOperations = [
  'createExecutable',
  'modifyExecutable',
  'createFile',
  'modifyFile',
  'deleteFile',
] as const;
export const processOperations = ['fork', 'exec'] as const;
export const actions = ['log', 'alert', 'block'] as const;
export const sections = ['file', 'process'] as const;

/** The conditions that both sections have. They speak of the workload, so `bind` answers them once. */
export const workloadConditions = [
  'containerImageFullName',
  'containerImageName',
  'containerImageTag',
  'kubernetesClusterId',
  'kubernetesClusterName',
  'kubernetesNamespace',
  'kubernetesPodName',
  'kubernetesPodLabel',
] as const;

export type FileOperation = (typeof fileOperations)[number];
export type ProcessOperation = (typeof processOperations)[number];
export type Action = (typeof actions)[number];
export type Section = (typeof sections)[number];
export type WorkloadCondition = (typeof workloadConditions)[number];
export type Severity = 'error' | 'warning';

/** The only thing that is written to the kernel. */
export type Verdict = 'allow' | 'deny';

/** Whether a fact holds. What is not known yet is `unknown`, never `no`. */
export type Truth = 'yes' | 'no' | 'unknown';

/** Something wrong in a policy. `line` and `column` are one-based; `path` is like `file.responses[0].actions`. */
export interface Fault {
  readonly code: FaultCode | SourceFaultCode;
  readonly severity: Severity;
  readonly message: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly suggestion?: string;
}

/** An image reference in the normal form of container runtimes. */
export interface ImageReference {
  /** Registry and repository, for example `docker.io/library/nginx`. */
  readonly fullName: string;
  /** Last segment of the repository, for example `nginx`. */
  readonly name: string;
  /** `null` when the reference has a digest and no tag; `latest` when it has neither. */
  readonly tag: string | null;
  /** For example `sha256:...`, or `null`. */
  readonly digest: string | null;
}

/** A list holds when any of its values does; an absent one always holds. */
export type WorkloadConditions = { readonly [C in WorkloadCondition]?: readonly string[] };

export interface FileSelector extends WorkloadConditions {
  readonly name: string;
  /** Absent only in lenient mode: every operation of the section. */
  readonly operation?: readonly FileOperation[];
  readonly targetFilePath?: readonly string[];
  readonly ignoreVolumeMounts?: boolean;
  readonly ignoreVolumeFiles?: boolean;
}

export interface ProcessSelector extends WorkloadConditions {
  readonly name: string;
  readonly operation?: readonly ProcessOperation[];
  readonly processExecutable?: readonly string[];
  readonly processName?: readonly string[];
  readonly sessionLeaderInteractive?: boolean;
}

export interface PolicyResponse {
  readonly match: readonly string[];
  readonly exclude: readonly string[];
  readonly actions: readonly Action[];
}

export interface PolicySection<S> {
  readonly selectors: readonly S[];
  readonly responses: readonly PolicyResponse[];
}

declare const validated: unique symbol;

/** A policy without a fault of severity error. Only `validate` makes one. */
export interface Policy {
  readonly [validated]: true;
  readonly file?: PolicySection<FileSelector>;
  readonly process?: PolicySection<ProcessSelector>;
}

/**
 * What is known of a container before any event. For every field: a value is known, `null` is known to be
 * absent (a container outside Kubernetes has no namespace), `undefined` is not known yet.
 */
export interface Workload {
  readonly image: ImageReference | null | undefined;
  readonly namespace: string | null | undefined;
  readonly podName: PodName | null | undefined;
  /** A label whose value is `undefined` may be there or not, with any value. */
  readonly podLabels: ReadonlyMap<string, string | undefined> | null | undefined;
  /** UID of the namespace `kube-system`. */
  readonly clusterId: string | null | undefined;
  readonly clusterName: string | null | undefined;
}

/**
 * The pod's name, or the `generateName` from which the API server will make it, or how a name begins of which a
 * controller makes the rest of these characters.
 */
export type PodName =
  | { readonly name: string }
  | { readonly generateName: string }
  | { readonly begin: string; readonly restOf: string };

/** Where in the container's mount table a path lies. */
export type MountKind =
  /** The container's root filesystem. */
  | 'root'
  /** A volume that is a directory, such as an emptyDir or a claim. */
  | 'volume'
  /** A mount point that is itself a file, or a configMap, secret, downwardAPI or projected volume. */
  | 'volumeFile';

/** One file operation. An operation may be several: a rename creates one name and deletes another. */
export interface FileEvent {
  readonly section: 'file';
  readonly operations: readonly FileOperation[];
  /** As seen inside the container, symlinks resolved. */
  readonly path: string;
  readonly mount: MountKind;
}

export interface ProcessEvent {
  readonly section: 'process';
  readonly operation: ProcessOperation;
  /** The file being executed; for `fork`, the executable of the forking process. */
  readonly executable: string;
  /** Whether the session leader has a controlling terminal; `undefined` when it could not be read. */
  readonly interactive: boolean | undefined;
}

export type PolicyEvent = FileEvent | ProcessEvent;

/** A selector of which only the conditions about events remain. */
export interface BoundSelector<S> {
  readonly selector: S;
  /** Whether the conditions about the workload hold. */
  readonly workload: Truth;
}

/** `match` and `exclude` are indexes into the section's selectors. */
export interface BoundResponse {
  readonly match: readonly number[];
  readonly exclude: readonly number[];
  readonly actions: readonly Action[];
}

export interface BoundSection<S> {
  /** All selectors of the section in the order of the document, also those that can no longer match. */
  readonly selectors: readonly BoundSelector<S>[];
  readonly responses: readonly BoundResponse[];
}

declare const bound: unique symbol;

/** A policy after its conditions about one workload have been answered. Only `bind` makes one. */
export interface BoundPolicy {
  readonly [bound]: true;
  readonly id: string;
  /** Whether any response can still fire in this workload. */
  readonly applies: Truth;
  readonly file: BoundSection<FileSelector>;
  readonly process: BoundSection<ProcessSelector>;
}

/** What one policy says of one event; only policies of which a response fired have one. */
export interface PolicyDecision {
  readonly policyId: string;
  /** The union of the actions of the responses that fired, in the order `log`, `alert`, `block`. */
  readonly actions: readonly Action[];
  /** Names of the match selectors that matched in responses that fired, in document order, without repeats. */
  readonly matchedSelectors: readonly string[];
}

export interface Decision {
  /** `deny` when any policy says `block`. */
  readonly verdict: Verdict;
  readonly policies: readonly PolicyDecision[];
}
