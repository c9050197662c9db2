/**
 * What an agent must remember of a published table to tell its events: whose container it was, and what the numbers
 * in a decision mean. The keeper keeps it with the table and hands it back with each event, also to an agent that
 * started later, or is of another version.
 */

import type { GateMode } from '../native/contract.ts';
import { beginningsOf } from '../nodePod.ts';
import { fanotify } from '../policy/blockRules.ts';
import { operationsOf } from '../policy/conditions.ts';
import type { BoundPolicy, BoundSection, FileOperation, ProcessOperation } from '../policy/types.ts';
import type { ContainerIdentity } from './identity.ts';

export interface Publication {
  /** Of the policies. */
  readonly generation: number;
  readonly mode: GateMode;
  readonly identity: ContainerIdentity;
  readonly policies: readonly PolicyNames[];
}

/** A policy and its selectors, by their indexes. */
export interface PolicyNames {
  readonly id: string;
  readonly file: readonly string[];
  readonly process: readonly string[];
  /** What its `block` responses come to, for each match selector and operation. */
  readonly blocks: readonly RuleOutcome[];
}

export interface RuleOutcome {
  readonly selector: string;
  readonly operation: Operation;
  /** `prevented`: refused before it happens. `detected`: told after it has happened. */
  readonly outcome: 'prevented' | 'detected';
  /** What refuses or tells it. */
  readonly backend: string;
  /** What becomes of it by ways that ask nobody (link, rename, chmod, ...), where there are any. */
  readonly otherWays?: 'contained' | 'detected';
}

type Operation = FileOperation | ProcessOperation;

const version = 1;

export function namesOf({ id, file, process }: BoundPolicy): PolicyNames {
  return {
    id,
    file: selectorNames(file),
    process: selectorNames(process),
    blocks: [...outcomesOf(file, operationsOf.file), ...outcomesOf(process, operationsOf.process)],
  };
}

function outcomesOf<S extends { readonly name: string; readonly operation?: readonly Operation[] }>(
  { selectors, responses }: BoundSection<S>,
  every: readonly Operation[],
): RuleOutcome[] {
  const blocked = new Set(
    responses.filter(({ actions }) => actions.includes('block')).flatMap(({ match }) => match),
  );
  return [...blocked].flatMap((index) => {
    const selector = selectors[index]?.selector;
    if (selector === undefined) return [];
    return (selector.operation ?? every).map((operation) => ({
      selector: selector.name,
      operation,
      outcome: fanotify.cannotDeny.has(operation) ? ('detected' as const) : ('prevented' as const),
      backend: operation === 'fork' ? 'the process connector' : fanotify.name,
      ...otherWaysOf(operation),
    }));
  });
}

/** An open is asked about; the same done by another call is not. */
function otherWaysOf(operation: Operation): Pick<RuleOutcome, 'otherWays'> {
  switch (operation) {
    case 'createExecutable':
    case 'modifyExecutable':
      return { otherWays: 'contained' };
    case 'createFile':
    case 'modifyFile':
      return { otherWays: 'detected' };
    default:
      return {};
  }
}

function selectorNames<S extends { readonly name: string }>({ selectors }: BoundSection<S>): string[] {
  return selectors.map(({ selector }) => selector.name);
}

/** A few kB, and at most some 150, whatever a pod says of itself. */
export function writePublication(publication: Publication): string {
  const written = { version, ...publication, identity: boundedIdentity(publication.identity) };
  return JSON.stringify(written, (_name, value) => (value instanceof Map ? { entries: [...value] } : value));
}

/** With as much of labels and annotations as documents tell. Whoever reads fewer labels than there are has to ask for them again. */
function boundedIdentity(identity: ContainerIdentity): ContainerIdentity {
  const { pod, workload } = identity;
  if (!pod) return identity;
  const { labels, annotations } = pod;
  const told = labels && beginningsOf(labels);
  return {
    ...identity,
    pod: {
      ...pod,
      labels: told,
      annotations: annotations && beginningsOf(annotations),
    },
    workload: told === labels ? workload : { ...workload, podLabels: undefined },
  };
}

/** `undefined` for what another version of the agent wrote. */
export function readPublication(text: string): Publication | undefined {
  try {
    const { version: written, ...publication } = JSON.parse(text, (_name, value) =>
      Array.isArray(value?.entries) ? new Map(value.entries) : value,
    );
    return written === version ? publication : undefined;
  } catch {
    // Not JSON: nothing that this agent could use.
    return undefined;
  }
}
