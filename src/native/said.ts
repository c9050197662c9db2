/** What the keeper says: one of these in each frame (`report_json.cc`, `keeper_agents.cc`). */

import type {
  ContainerKey,
  FirstExec,
  FoundContainer,
  GateFailure,
  GateStats,
  KernelEvent,
} from './contract.ts';

export type Said =
  | {
      readonly type: 'welcome';
      readonly pid: number;
      readonly speech?: string;
      readonly unenforceable?: string;
    }
  /** To be answered at once: a sign of life. */
  | { readonly type: 'ping' }
  | { readonly type: 'refused'; readonly code: string; readonly message: string }
  | { readonly type: 'answer'; readonly request: number; readonly value: unknown }
  /** The gate is closed: the last that is said. */
  | { readonly type: 'closed'; readonly value: GateStats }
  | { readonly type: 'container'; readonly value: FoundContainer }
  | { readonly type: 'firstExec'; readonly value: FirstExec }
  | { readonly type: 'gone'; readonly value: ContainerKey }
  | { readonly type: 'context'; readonly value: { readonly key: ContainerKey; readonly context: string } }
  | { readonly type: 'event'; readonly value: KernelEvent }
  | {
      readonly type: 'failure';
      readonly value: { readonly failure: GateFailure; readonly count: number; readonly detail: string };
    };

/** Before it has said anything. */
export const noStats: GateStats = {
  verdicts: 0,
  denied: 0,
  unknown: 0,
  held: 0,
  late: 0,
  groups: 0,
  roots: 0,
  eventsDropped: 0,
};
