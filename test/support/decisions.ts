/**
 * The corpus of decisions: the language's specification by example, for every implementation of it. Each file
 * of test/fixtures/decisions is a list of cases:
 *
 *   - title: an exclude cancels its own response only
 *     because: section 4, several responses fire
 *     policy: {...}             # its ID is `policy`; or `policies`: a mapping of IDs to policies
 *     lenient: true             # read as Elastic's editor does; default: strict
 *     workload: {image: redis}  # what differs from the usual one (below); null: known to be absent
 *     unknown: [namespace]      # facts that are not known
 *     onUnknown: deny           # default: allow
 *     applies: yes              # whether it can fire at all; default: yes. Or a mapping by policy ID
 *     events:
 *       - operation: createExecutable    # an event as `explain --event` takes it
 *         path: /tmp/x
 *         actions: [alert, block]        # nothing fires when left out; the verdict is deny where `block` is
 *         matched: [anywhere]
 *         policies: {...}                # with `policies`: actions and matched by policy ID
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { readEvent } from '../../src/cli/event.ts';
import { type CompiledPolicy, compile } from '../../src/policy/compile.ts';
import { parseImage } from '../../src/policy/image.ts';
import { readPolicy } from '../../src/policy/read.ts';
import type { Action, Decision, PolicyEvent, Truth, Verdict, Workload } from '../../src/policy/types.ts';

export interface DecisionCase {
  /** File and title. */
  readonly name: string;
  readonly because: string;
  readonly policies: readonly CompiledPolicy[];
  readonly workload: Workload;
  readonly onUnknown: Verdict;
  /** By policy ID. */
  readonly applies: ReadonlyMap<string, Truth>;
  readonly events: readonly { readonly event: PolicyEvent; readonly expected: Decision }[];
}

interface Expected {
  readonly actions?: Action[];
  readonly matched?: string[];
}

interface WrittenCase {
  readonly title: string;
  readonly because: string;
  readonly policy?: object;
  readonly policies?: Record<string, object>;
  readonly lenient?: boolean;
  readonly workload?: Record<string, unknown>;
  readonly unknown?: string[];
  readonly onUnknown?: Verdict;
  readonly applies?: Truth | Record<string, Truth>;
  readonly events: (Expected & { readonly policies?: Record<string, Expected> } & Record<string, unknown>)[];
}

const folder = join(import.meta.dirname, '../fixtures/decisions');

/** The workload of a case that says nothing else. */
const usualWorkload = {
  image: 'nginx:1.27',
  namespace: 'shop',
  podName: 'web-0',
  podLabels: { app: 'web', tier: 'front', empty: '' },
  clusterId: 'c0ffee',
  clusterName: 'east',
};

/** Every case, in the order of file names. @throws when a fixture is malformed or its policy has faults */
export function decisionCases(): DecisionCase[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .flatMap((file) => {
      const cases: WrittenCase[] = parse(readFileSync(join(folder, file), 'utf8'));
      return cases.map((written) => readCase(`${file}: ${written.title}`, written));
    });
}

function readCase(name: string, written: WrittenCase): DecisionCase {
  const documents = Object.entries(written.policies ?? { policy: written.policy });
  const policies = documents.map(([id, document]) => {
    const { policy, faults } = readPolicy(JSON.stringify(document), {
      mode: written.lenient ? 'lenient' : 'strict',
    });
    if (policy === undefined) throw new Error(`${name}: ${JSON.stringify(faults)}`);
    return compile(id, policy);
  });
  const { applies = 'yes' } = written;
  const truthOf = (id: string): Truth => (typeof applies === 'string' ? applies : (applies[id] ?? 'yes'));
  return {
    name,
    because: written.because,
    policies,
    workload: readWorkload(written.workload ?? {}, written.unknown ?? []),
    onUnknown: written.onUnknown ?? 'allow',
    applies: new Map(policies.map(({ id }) => [id, truthOf(id)])),
    events: written.events.map(({ actions, matched, policies: byPolicy, ...event }) => ({
      event: readEvent(event, name),
      expected: expectedDecision(
        byPolicy ?? (actions ? { policy: { actions, ...(matched && { matched }) } } : {}),
      ),
    })),
  };
}

function expectedDecision(byPolicy: Record<string, Expected>): Decision {
  const policies = Object.entries(byPolicy).map(([policyId, { actions = [], matched = [] }]) => ({
    policyId,
    actions,
    matchedSelectors: matched,
  }));
  const denied = policies.some(({ actions }) => actions.includes('block'));
  return { verdict: denied ? 'deny' : 'allow', policies };
}

function readWorkload(differences: Record<string, unknown>, unknown: readonly string[]): Workload {
  const facts = { ...usualWorkload, ...differences } as Record<keyof Workload, unknown>;
  const { image, podName, podLabels } = facts;
  const known: Record<string, unknown> = {
    ...facts,
    image: typeof image === 'string' ? parseImage(image) : image,
    podName: typeof podName === 'string' ? { name: podName } : podName,
    podLabels: podLabels && new Map(Object.entries(podLabels)),
  };
  for (const fact of unknown) known[fact] = undefined;
  return known as unknown as Workload;
}
