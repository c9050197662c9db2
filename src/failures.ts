/** Failures are things lost or late: counted always, logged at a limited rate, never thrown. */

import { log } from './log.ts';

/** Every failure with what is done about it. The key is the value of the metric's label `failure`. */
export const failures = {
  policy_reload_refused: 'the last good generation stays',
  annotation_behind: 'the pod was allowed; its annotations follow from policies replaced moments ago',
  caller_refused: 'answered with an error before its body was read',
  connection_delayed: 'it is tried again 100 ms later, and whoever connects to the keeper waits',
  connection_evicted: 'the connection that was missed least was closed, since there were too many',
  review_late: 'answered with an error before the API server gave up, so `failurePolicy` decides',
  annotation_differs: 'the node binds by itself; the controller mends the annotation',
  tls_reload_refused: 'the last good certificate stays',
  watch_interrupted: 'the last good objects stay, and the watch is tried again',
  watch_handler_failed: 'the objects are kept, and the watch goes on',
  changes_late: 'the exec went on; what came to be right before it may have been executed once',
  changes_lost: 'what exec decides by drift is not touched; modes of files are looked up anew',
  changes_unseen: 'links, renames, deletions and modes are not reported there; exec decides by drift',
  agent_silent:
    'as if no agent were there, until it answers: `--on-agent-loss` decides, and events are kept for it',
  agent_lost: 'refused by `--on-agent-loss deny`',
  deadline_missed: '`--on-deadline` decided; meanwhile the memory of that container is not read',
  container_unknown: 'nothing was published in time, so `onUnknown` decided',
  containment_full: 'it can be executed, where drift does not refuse it; the outcome is `detected`',
  container_unseen: 'policies are bound to it, and nothing of it is seen',
  creation_unconfirmed: 'rules about creating and about modifying both decided; an empty file may stay',
  document_dropped: 'the output was too slow or gone; the verdict stood',
  document_write_failed: 'a file is tried again, at a growing distance; standard output is given up',
  event_report_dropped: 'the verdict stood; the event is not reported',
  drift_uncompared: 'the program was taken as modified',
  event_unread: 'the kernel refused the open',
  facts_forgotten: 'looked up anew where that is possible; the rest is reported with less, or a second time',
  keeper_lost: 'nothing is gated until a keeper answers again; then every container is found anew',
  first_program_missed: 'the program runs; what it does from now on is decided by its policies',
  forks_lost: 'what those processes fork is reported from their next exec on',
  forks_unseen: 'forks are not reported, and no rule about `fork` fires',
  intent_unread: 'the open was taken as creating and writing',
  mark_failed: 'the container runs without the gate',
  memfd_not_forbidden: 'programs without a file stay possible in the container',
  not_enforceable: 'it happened and is reported; this kernel lets nobody refuse it',
  path_unread: 'every condition on the path was taken as met, and none that excludes',
  process_unread: 'reported without arguments, as far as the process is known',
  publish_failed: 'the container keeps the table it had',
  runtime_unanswered: 'the runtime is asked again; meanwhile a first exec waits, then `onUnknown` decides',
  runtime_not_held: 'the runtime went on; what its container runs first may not have been gated',
  volume_unwatched: 'the container runs; what happens on that volume is not seen',
  rollback_failed: 'the open was refused; the empty file stays',
  pod_not_mended: 'the annotations stay as they are until a later attempt, at a growing distance',
  policy_status_unwritten: 'the policy is in use as it is; its status is written later',
  report_unwritten: 'the last report stays until it can be written',
  kubernetes_event_dropped: 'the Event is not seen; what it would have told was done all the same',
  lease_unreachable: 'tried again; a leader goes on until its time is over',
  lease_lost: 'another replica takes over the controller, and this one goes on serving',
  certificate_lost: 'made anew; connections that exist go on',
  certificates_unattended: 'looked at again in a moment; what is served stays',
  ca_bundle_changed: 'put back',
  clock_skewed: 'nothing: certificates are valid from an hour before they are made',
} as const;

export type Failure = keyof typeof failures;

const logEveryMs = 5_000;
const lastLogged = new Map<Failure, number>();
const totals = new Map<Failure, number>();

/**
 * How often each failed since the start, without what never did. `metrics.ts` reads it, and not the other way round: the agent
 * of a node, which serves no metrics, would load what serves them, with an HTTP server 15 MiB.
 */
export const failureTotals: ReadonlyMap<Failure, number> = totals;

/** Counts `count` failures and logs at most one line per failure kind every 5 seconds. */
export function reportFailure(failure: Failure, details: Record<string, unknown> = {}, count = 1): void {
  totals.set(failure, (totals.get(failure) ?? 0) + count);
  const now = performance.now();
  const last = lastLogged.get(failure);
  if (last !== undefined && now - last < logEveryMs) return;
  lastLogged.set(failure, now);
  log.warn({ failure, answer: failures[failure], ...details }, 'failure');
}
