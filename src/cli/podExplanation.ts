/** What `explain` has to say of a pod, as its JSON output has it. */

import { GateError } from '../errors.ts';
import { bind } from '../policy/bind.ts';
import type { CompiledPolicy } from '../policy/compile.ts';
import { decide } from '../policy/decide.ts';
import { explain, type SectionExplanation } from '../policy/explain.ts';
import { parseImage } from '../policy/image.ts';
import { or } from '../policy/truth.ts';
import type { Decision, PolicyEvent, Truth, Verdict, Workload } from '../policy/types.ts';
import type { Pod } from './pod.ts';

/** What the namespace asks for; `null`: it has not opted in. */
export type Mode = 'enforce' | 'observe' | null;

export interface PodExplanation {
  readonly pod: { readonly kind: string; readonly namespace: string; readonly name?: string | undefined };
  readonly mode: Mode;
  /** Whether the mode is a guess, since the namespace's labels were not given. */
  readonly modeAssumed: boolean;
  readonly onUnknown: Verdict;
  readonly policies: readonly {
    readonly id: string;
    /** Whether it applies to any of the containers. */
    readonly applies: Truth;
    readonly containers: readonly {
      readonly container: string;
      readonly applies: Truth;
      readonly sections: readonly SectionExplanation[];
    }[];
  }[];
  readonly containers: readonly {
    readonly container: string;
    readonly image: string;
    /** What the policies say together; absent without an event. */
    readonly decision?: Decision;
  }[];
  readonly event?: PolicyEvent;
  /** What the operation is answered: `allow` in mode observe. Absent without an event. */
  readonly verdict?: Verdict;
}

export interface Question {
  readonly pod: Pod;
  readonly mode: Mode;
  readonly modeAssumed: boolean;
  /** Absent: every container of the pod. */
  readonly container?: string | undefined;
  readonly clusterId?: string | undefined;
  readonly clusterName?: string | undefined;
  readonly event?: PolicyEvent | undefined;
  readonly onUnknown: Verdict;
}

/** @throws USAGE when the pod lacks the container */
export function explainPod(policies: readonly CompiledPolicy[], question: Question): PodExplanation {
  const { pod, mode, modeAssumed, event, onUnknown } = question;
  const workloads = workloadsOf(question);
  const containers = workloads.map(({ container, image, workload }) => {
    const bound = policies.map((policy) => bind(policy, workload));
    return { container, image, ...(event && { decision: decide(bound, event, onUnknown) }) };
  });
  const denied = containers.some(({ decision }) => decision?.verdict === 'deny');
  return {
    pod: { kind: pod.kind, namespace: pod.namespace, name: pod.name },
    mode,
    modeAssumed,
    onUnknown,
    policies: policies.map((policy) => {
      const explained = workloads.map(({ container, workload }) => {
        const { applies, sections } = explain(policy, workload, event, onUnknown);
        return { container, applies, sections };
      });
      const applies = explained.reduce<Truth>((truth, each) => or(truth, each.applies), 'no');
      return { id: policy.id, applies, containers: explained };
    }),
    containers,
    ...(event && { event, verdict: denied && mode === 'enforce' ? 'deny' : 'allow' }),
  };
}

function workloadsOf(question: Question): { container: string; image: string; workload: Workload }[] {
  const { pod, container, clusterId, clusterName } = question;
  const chosen = pod.containers.filter(({ name }) => container === undefined || name === container);
  if (chosen.length === 0) {
    const names = pod.containers.map(({ name }) => name).join(', ');
    throw new GateError('USAGE', `the pod has no container \`${container}\`; it has ${names}`);
  }
  const { namespace, podName, labels: podLabels } = pod;
  return chosen.map(({ name, image }) => ({
    container: name,
    image,
    workload: { image: parseImage(image), namespace, podName, podLabels, clusterId, clusterName },
  }));
}
