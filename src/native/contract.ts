/** What the gate promises to TypeScript. Implemented in C++ by the keeper; `gate.ts` opens it. */

import type { Failure } from '../failures.ts';
import type { PolicyEvent, Verdict } from '../policy/types.ts';
import type { KernelEvent, TableDecision } from './kernelEvent.ts';

export type * from './kernelEvent.ts';

/** Names one container that runs, or may come to run, on a root filesystem. Never used twice by one gate. */
export type ContainerKey = number;

/** `rules`: deny where the container has a `block` rule about such operations (exec, or files), else allow. */
export type OnDeadline = 'rules' | 'allow' | 'deny';

/** `keep`: its table, as always. `deny`: what a `block` rule of its table could concern is refused. */
export type OnAgentLoss = 'keep' | 'allow' | 'deny';

/** Whether a `block` is answered to the kernel, or only reported. The gate's bounds that of every table. */
export type GateMode = 'observe' | 'enforce';

export interface GateOptions {
  readonly mode: GateMode;
  /** Milliseconds, 1 to 60000, that a container's first exec waits for `publish`, before `onUnknown` decides. */
  readonly holdMs: number;
  /** The verdict for what waited `holdMs` in vain. */
  readonly onUnknown: Verdict;
  /** What decides for a container with a table while no agent is there (default: `keep`). */
  readonly onAgentLoss?: OnAgentLoss;
  /** Milliseconds, 10 to 60000, that an event may take before `onDeadline` decides; 0: no deadline (default: 200). */
  readonly deadlineMs?: number;
  /** What decides an event that takes longer (default: `rules`). */
  readonly onDeadline?: OnDeadline;
  /**
   * Whether what is not of the image is refused to known interpreters (shells, python, perl, node, ruby, php, lua) that open
   * it to read, as its exec would be (default: false).
   */
  readonly blockScripts?: boolean;
  /**
   * Whether programs without a file are forbidden by the kernel in containers with a rule that blocks `createExecutable` or
   * `modifyExecutable`: `vm.memfd_noexec=2` in their pid namespace, for good (default: false). KERNEL: 6.3
   */
  readonly memfdNoexec?: boolean;
  /** Whether the end of each process is told whose begin (fork or exec) a rule with `log` has told (default: false). */
  readonly processEnds?: boolean;
  /**
   * Whether a gate is of use that can refuse nothing and only hears of what has happened, where the kernel asks nobody: no
   * permission events (default: false, and then it is GATE_UNSUPPORTED).
   */
  readonly mayOnlyHear?: boolean;
  /** Milliseconds, 500 to 60000, without a sign of life before an agent that is connected counts as absent (default: 10000). */
  readonly silenceMs?: number;
  /** Events kept until they are handed over, 1 to 1000000; later ones are dropped and counted (default: 16384). */
  readonly queueEvents?: number;
  /** Permission groups to take, 1 to 1000000, at most what the kernel grants; beyond, containers share them (default: 1000000). */
  readonly maxGroups?: number;
  /** Where this process sees the host's root filesystem (default: `/`). */
  readonly hostRoot?: string;
  /** Directories whose filesystems are never marked, besides the host's own (default: none). */
  readonly neverMark?: readonly string[];
  /** Namespaces whose pods do not wait for policies while no agent is there (default: none). */
  readonly spareNamespaces?: readonly string[];
  /** A root filesystem was found and marked, or a second cgroup executes on a known one. Called before anything else with its key. */
  onContainer(container: FoundContainer): void;
  /**
   * A process of the container wants to execute a file, or (of a container that ran before the gate opened)
   * to write to one, and nothing was published yet. It waits for `publish`, at most `holdMs`.
   */
  onFirstExec(exec: FirstExec): void;
  /** The root filesystem is gone, with every process on it. Only events that happened before may follow. */
  onContainerGone(key: ContainerKey): void;
  /**
   * What fired, after it was answered, in the order of `sequence`. The next ones come when this has resolved; an event
   * with which nobody has done goes to the next agent, so it may come twice and never not at all.
   */
  onEvents(events: readonly KernelEvent[]): void | Promise<void>;
  onFailure(failure: GateFailure, count: number, detail: string): void;
  /** The keeper is gone, and nothing is gated; then, that one answers again. */
  onKeeper?: ((isThere: boolean) => void) | undefined;
}

/** What the gate may report as lost or late. */
export type GateFailure = Extract<
  Failure,
  | 'agent_lost'
  | 'agent_silent'
  | 'changes_late'
  | 'changes_lost'
  | 'changes_unseen'
  | 'connection_delayed'
  | 'container_unknown'
  | 'containment_full'
  | 'creation_unconfirmed'
  | 'deadline_missed'
  | 'drift_uncompared'
  | 'event_report_dropped'
  | 'event_unread'
  | 'facts_forgotten'
  | 'first_program_missed'
  | 'forks_lost'
  | 'forks_unseen'
  | 'intent_unread'
  | 'keeper_lost'
  | 'mark_failed'
  | 'memfd_not_forbidden'
  | 'not_enforceable'
  | 'path_unread'
  | 'process_unread'
  | 'publish_failed'
  | 'rollback_failed'
  | 'runtime_not_held'
  | 'volume_unwatched'
>;

/** Where a container's root filesystem is. */
export interface FoundContainer {
  readonly key: ContainerKey;
  /** As this process sees it. */
  readonly mountPoint: string;
  /** Major and minor number of the overlay, for example `0:45`. */
  readonly device: string;
  /** Where the container's changes are, as the mount table says it. */
  readonly upperDir: string;
  /** Whether it was mounted before the gate opened, so that processes may already run on it. */
  readonly mayRun: boolean;
  /** `false` for a further cgroup on a known root filesystem: the mount point does not tell who this is. */
  readonly first: boolean;
  /** A process of it, when one was seen. */
  readonly pid?: number;
  /** What was published for it last, by an earlier agent: its `context`. */
  readonly context?: string;
}

export interface FirstExec {
  readonly key: ContainerKey;
  /** The process that waits, in this process's pid namespace. */
  readonly pid: number;
  /** Path of its cgroup, in the hierarchy by which members are known from now on. */
  readonly cgroup: string;
  /** The file to be executed or written, as the container sees it. */
  readonly path: string;
}

export interface GateStats {
  /** Permission events answered, each counted once. */
  readonly verdicts: number;
  readonly denied: number;
  /** Verdicts by `onUnknown` since nothing was published in time. */
  readonly unknown: number;
  /** Verdicts by `onDeadline`. */
  readonly late: number;
  /** Events that wait for `publish` now. */
  readonly held: number;
  readonly groups: number;
  readonly roots: number;
  readonly eventsDropped: number;
}

/** A policy of a table, and its selectors, by their indexes. */
export interface RuleNames {
  readonly id: string;
  readonly file: readonly string[];
  readonly process: readonly string[];
}

/** A client of the keeper, which owns the fanotify groups and the threads that answer. */
export interface Gate {
  /**
   * Makes `table` (made by `flatten`) what decides for the container from the next event on, and answers what
   * waits. `null`: the container is known and no policy applies; its marks are removed and its operations cost
   * nothing, until another table is published. A key that is gone is ignored. A table that is damaged changes
   * nothing and is the failure `publish_failed`. `context` comes back with every event that the table decides,
   * also to a later agent. `rules` are the policies of the table, for the ledger of `d4c-gate status`.
   */
  publish(
    key: ContainerKey,
    table: Uint8Array | null,
    generation: number,
    context?: string,
    rules?: readonly RuleNames[],
  ): void;
  /**
   * Tells that the process is of the container, for a container that ran before the gate opened. Gives its
   * cgroup, or `undefined` when the process is gone, has no cgroup of its own, or is not of a container on this root filesystem.
   */
  adopt(key: ContainerKey, pid: number): Promise<string | undefined>;
  /** Why nothing can be refused here, so that everything is only told; `undefined` where it can. */
  unenforceable(): string | undefined;
  /** After the end, those of the end. */
  stats(): Promise<GateStats>;
  /** Lets the keeper go on without this agent; when the keeper is this process's own, as `close`. */
  leave(): Promise<void>;
  /**
   * Ends the keeper: what waits is answered with `allow`, and every group is closed. Hands over what was seen before
   * it resolves, and nothing afterwards. Twice is fine.
   */
  close(): Promise<void>;
  /** Resolves when another agent has taken the keeper over: nothing is handed over any more. */
  readonly taken: Promise<void>;
}

export interface TableVerdict {
  readonly verdict: Verdict;
  readonly policies: readonly TableDecision[];
}

/** A decision table in C++, without a kernel: for tests and benchmarks. */
export interface DecisionTable {
  decide(event: PolicyEvent): TableVerdict;
}
