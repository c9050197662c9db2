/** From an observation and what each policy said of it to the documents that are written. */

import { randomUUID } from 'node:crypto';
import type { PolicyDecision, Section } from '../policy/types.ts';
import { commonMembers, membersOf, objectOf } from './documentText.ts';
import type { HostFacts } from './host.ts';
import { messageOf } from './message.ts';
import { eventTypes, type Observation } from './observation.ts';
import { isoTime } from './processFields.ts';

/** Where `alert`, and the `log` of each section, write. */
export const streams = ['alerts', 'file', 'process'] as const;
export type Stream = (typeof streams)[number];

/** One document: the data stream it belongs to, such as `logs-cloud_defend.alerts-default`, and its content. */
export interface GateDocument {
  readonly dataStream: string;
  /** A JSON object without line breaks. */
  readonly json: string;
}

/** What every document of this agent says. */
export interface DocumentContext {
  readonly host: HostFacts;
  readonly agent: { readonly id: string; readonly version: string };
  /** Last part of the data streams' names. */
  readonly namespace: string;
  /** The generation of policies that decided; the mapping holds 16 bits. */
  readonly generation: number;
}

/**
 * One document per action and policy: `log` writes to the stream of its section, `alert` to the alerts, both
 * to both. `block` alone writes nothing; a policy that blocks must alert.
 */
export function documentsOf(
  observation: Observation,
  decisions: readonly PolicyDecision[],
  context: DocumentContext,
): GateDocument[] {
  const common = commonMembers(observation, context.host, context.agent);
  return decisions.flatMap((decision) =>
    streamsOf(decision, observation.rules ?? observation.section).map((stream) =>
      documentOf(stream, observation, decision, context, common),
    ),
  );
}

function streamsOf({ actions }: PolicyDecision, section: Section): Stream[] {
  return [
    ...(actions.includes('log') ? [section] : []),
    ...(actions.includes('alert') ? (['alerts'] as const) : []),
  ];
}

function documentOf(
  stream: Stream,
  observation: Observation,
  decision: PolicyDecision,
  context: DocumentContext,
  common: readonly string[],
): GateDocument {
  const { section, action, outcome } = observation;
  const dataset = `cloud_defend.${stream}`;
  const wantedBlock = decision.actions.includes('block');
  // Another policy's block prevents for all of them: the operation did not happen.
  const denied = outcome === 'prevented' ? ['denied'] : [];
  const head = { '@timestamp': isoTime(observation.timeUs), message: messageOf(observation, wantedBlock) };
  const rest = {
    event: {
      id: randomUUID(),
      kind: stream === 'alerts' ? 'alert' : 'event',
      category: [section],
      action,
      type: [eventTypes[action], ...denied],
      module: 'cloud_defend',
      dataset,
      created: new Date().toISOString(),
      sequence: observation.sequence,
    },
    data_stream: { type: 'logs', dataset, namespace: context.namespace },
    cloud_defend: {
      matched_selectors: decision.matchedSelectors,
      package_policy_id: decision.policyId,
      package_policy_revision: ((context.generation - 1) % 32_767) + 1,
      hook_point: observation.hookPoint,
    },
    d4c_gate: {
      outcome,
      mode: observation.mode,
      actions: decision.actions,
      reason: observation.reason,
    },
  };
  return {
    dataStream: `logs-${dataset}-${context.namespace}`,
    json: objectOf([membersOf(head), ...common, membersOf(rest)]),
  };
}
