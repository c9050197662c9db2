/** One thing that happened in a container, as the documents tell it: what an enforcement point hands over after its verdict. */

import type { Section } from '../policy/types.ts';

/**
 * What became of the operation. Only `prevented` (refused before it happened) is ever called blocked.
 * `contained`: it happened, but what it made cannot be executed; `reverted`: it was undone; `detected`: it was seen.
 */
export const outcomes = ['prevented', 'contained', 'reverted', 'detected'] as const;
export type Outcome = (typeof outcomes)[number];

/** `observe` decides and reports as `enforce` does, and lets everything happen. */
export const modes = ['observe', 'enforce'] as const;
export type Mode = (typeof modes)[number];

/** The `event.action` of each document, with its `event.type`. */
export const eventTypes = {
  fork: 'start',
  exec: 'start',
  end: 'end',
  creation: 'creation',
  open: 'change',
  modification: 'change',
  deletion: 'deletion',
  rename: 'change',
  link: 'creation',
} as const;
export type EventAction = keyof typeof eventTypes;

/** A process; what could not be read any more is left out. Process IDs are the host's. */
export interface ProcessFacts {
  readonly pid: number;
  readonly executable?: string | undefined;
  readonly args?: readonly string[] | undefined;
  /** How many arguments there were, when `args` was cut. */
  readonly argsCount?: number | undefined;
  readonly workingDirectory?: string | undefined;
  /** Microseconds since 1970. */
  readonly startUs?: number | undefined;
  /** Whether its session leader has a controlling terminal. */
  readonly interactive?: boolean | undefined;
  /** Effective IDs, as the host counts them. */
  readonly userId?: number | undefined;
  readonly groupId?: number | undefined;
}

export interface FileFacts {
  /** As seen inside the container. */
  readonly path: string;
  /** Of a rename, what the file was called before. */
  readonly oldPath?: string | undefined;
  /** Of `stat`, with the file type bits. */
  readonly mode?: number | undefined;
  readonly userId?: number | undefined;
  readonly groupId?: number | undefined;
  readonly inode?: number | undefined;
}

export interface ImageFacts {
  readonly fullName: string;
  readonly tag: string | null;
  readonly digests: readonly string[];
}

export interface ContainerFacts {
  readonly id?: string | undefined;
  readonly name?: string | undefined;
  readonly image?: ImageFacts | undefined;
  readonly privileged?: boolean | undefined;
  readonly pod?: PodFacts | undefined;
  readonly clusterId?: string | undefined;
  readonly clusterName?: string | undefined;
}

export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly annotations: ReadonlyMap<string, string>;
  readonly ips: readonly string[];
  /** The kind of what made the pod, for example `ReplicaSet`. */
  readonly ownerKind?: string | undefined;
}

export interface Observation {
  /** Grows by one with each observation of this agent. */
  readonly sequence: number;
  /** When it happened: microseconds since 1970. */
  readonly timeUs: number;
  /** What it is about. */
  readonly section: Section;
  /** Whose rules decided, when not those of its own section. */
  readonly rules?: Section | undefined;
  readonly action: EventAction;
  /** The mechanism that saw it, for example `fanotify__open_perm`. */
  readonly hookPoint: string;
  readonly outcome: Outcome;
  /** It happened on a kernel that lets nobody refuse anything. */
  readonly isUnenforceable?: boolean | undefined;
  /** Why rules about files decide of an exec: how the program came to be, that it is not of the image, or that it has no file. */
  readonly reason?: 'contained' | 'drift' | 'fileless' | undefined;
  readonly mode: Mode;
  readonly process: ProcessFacts;
  readonly parent?: ProcessFacts | undefined;
  readonly groupLeader?: ProcessFacts | undefined;
  readonly sessionLeader?: ProcessFacts | undefined;
  /** With how the session was entered, for example `container` or `terminal`. */
  readonly entryLeader?: { readonly process: ProcessFacts; readonly type: string } | undefined;
  /** Of an `end`, as a shell counts it. */
  readonly exitCode?: number | undefined;
  /** Of file observations, and of what a loader or an interpreter was to run. */
  readonly file?: FileFacts | undefined;
  readonly container: ContainerFacts;
}
