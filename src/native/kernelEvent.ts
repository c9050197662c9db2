/** What the gate tells of one event: what happened, who did it and what became of it. */

import type { Action, FileOperation, MountKind, Verdict } from '../policy/types.ts';
import type { ContainerKey } from './contract.ts';

/** A process as its documents name it. Numbers of processes are of this process's pid namespace; 0 is not visible. */
export interface ProcessFacts {
  readonly pid: number;
  readonly parentPid: number;
  readonly groupPid: number;
  readonly sessionPid: number;
  /** Start in hundredths of a second since boot. */
  readonly startTicks: number;
  /** The kernel's name of the task, or of what is being executed: at most 15 bytes. */
  readonly name: string;
  /** Of an exec, the file being executed. */
  readonly executable: string;
  /** Of an exec, those of the new program. Empty when they could not be read. */
  readonly args: readonly string[];
  /** Whether `args` was cut: at most 256 of them and 16 KiB in all. */
  readonly argsTruncated: boolean;
  readonly workingDirectory: string;
  /** These four are absent when the process had ended before it could be looked at, and only its program was known. */
  readonly uid?: number;
  readonly gid?: number;
  readonly euid?: number;
  readonly egid?: number;
  /** Whether the session leader has a controlling terminal; `undefined` when it could not be read. */
  readonly interactive?: boolean;
}

/** The file; of a refused creation, as it was before it was taken back. All zero when it was gone before it could be looked at. */
export interface FileFacts {
  /** Type and permission bits, as `stat` gives them. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly inode: number;
}

/** What one policy said: indexes into what was given to `flatten`. */
export interface TableDecision {
  readonly policy: number;
  readonly actions: readonly Action[];
  /** Match selectors of responses that fired: indexes into the section's selectors, ascending. */
  readonly selectors: readonly number[];
}

/**
 * `exec`: a file opened for execution, also a script's interpreter. `open`: created or opened for writing. Both are told
 * before they happen, and so is `load`: a program opened by a loader (ld.so) that was called to run it, or a script by an
 * interpreter (`blockScripts`). What follows is told after it has happened. `creation`: by mknod or symlink, or an unnamed file that was
 * given a name. `attributes`: the first execute bit came to a file. `modification`: a file of the image was truncated without an open.
 * `fork`: `process` is the child, as the program that forked. `end`: `process` is as its begin (fork or exec) was told.
 */
export type EventKind =
  | 'exec'
  | 'load'
  | 'open'
  | 'creation'
  | 'link'
  | 'rename'
  | 'attributes'
  | 'deletion'
  | 'modification'
  | 'fork'
  | 'end';

/** Something that a policy answered with `log`, `alert` or `block`, or that `onUnknown` refused. */
export interface KernelEvent {
  readonly key: ContainerKey;
  /** Counts all events of the gate; a hole is a dropped event. */
  readonly sequence: number;
  /** Microseconds since 1970. */
  readonly timeUs: number;
  /** Of the table that decided; 0 when none was published. */
  readonly generation: number;
  /** What was published with that table, perhaps by an earlier agent; `undefined` when none was. */
  readonly context?: string;
  readonly kind: EventKind;
  /** Empty for an `exec` without a `reason`; with one, how the file came to be. */
  readonly operations: readonly FileOperation[];
  /** As the container sees it, symlinks resolved; bytes that are no UTF-8 become U+FFFD. */
  readonly path: string;
  /** Of a `rename`, what the file was called before. */
  readonly oldPath?: string;
  readonly mount: MountKind;
  /** What was answered to the kernel. */
  readonly verdict: Verdict;
  /** `unknown`: `onUnknown`, since nothing was published in time. `agentLoss`: `onAgentLoss`. */
  readonly decidedBy: 'rule' | 'unknown' | 'deadline' | 'agentLoss';
  readonly outcome: 'prevented' | 'contained' | 'reverted' | 'detected';
  /**
   * Of an `exec` or `load` that rules about files bar: the file was seen to come to be in a way that could not be refused
   * (`contained`), it is not of the image (`drift`), or it has no file at all (`fileless`). `policies` are then what those
   * rules say.
   */
  readonly reason?: 'contained' | 'drift' | 'fileless';
  /** Of a refused creation: whether the empty file was removed again. */
  readonly rolledBack?: boolean;
  /** Empty unless a rule decided. */
  readonly policies: readonly TableDecision[];
  readonly cgroup: string;
  readonly threadId: number;
  readonly process: ProcessFacts;
  /** Read right after the verdict; `undefined` when the parent was gone or is not visible. */
  readonly parent?: ProcessFacts;
  /** Of its group and its session; left out for the process itself and its parent, and for one that could not be read. */
  readonly groupLeader?: ProcessFacts;
  readonly sessionLeader?: ProcessFacts;
  /** The process with which somebody came in, and how: `container`, `terminal` and so on. A number alone is that of `process` or `parent`. */
  readonly entryLeader?: ProcessFacts | Pick<ProcessFacts, 'pid'>;
  readonly entryType?: string;
  readonly file: FileFacts;
  /** Of an `end`, as a shell counts it: from 128 on the signal that ended the process. `undefined` when its end was lost. */
  readonly exitCode?: number;
  /**
   * Nothing could have been refused, since this kernel asks nobody: also an `exec` was told when it had begun, and its process is what
   * was left of that. A `modification` is then any file that was open for writing and was closed.
   */
  readonly isHeard?: boolean;
}
