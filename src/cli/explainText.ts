/** The text output of `explain`: the answer first, then each policy with its reasons. */

import type {
  ConditionExplanation,
  ResponseExplanation,
  SectionExplanation,
  SelectorExplanation,
} from '../policy/explain.ts';
import type { PolicyEvent, Truth } from '../policy/types.ts';
import type { PodExplanation } from './podExplanation.ts';

type PolicyExplanation = PodExplanation['policies'][number];
type ContainerExplanation = PolicyExplanation['containers'][number];

const mountWords: Readonly<Record<string, string>> = {
  root: 'on the root filesystem',
  volume: 'on a volume',
  volumeFile: 'on a volume that is a file, configMap or secret',
};

export function renderExplanation(explanation: PodExplanation): string {
  const policies = explanation.policies.flatMap((policy) => ['', ...renderPolicy(policy, explanation.event)]);
  const lines = [...renderPod(explanation), ...renderVerdict(explanation), ...policies];
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function renderPod({ pod, mode, modeAssumed, containers, policies }: PodExplanation): string[] {
  const idsThat = (applies: Truth): string =>
    listed(policies.filter((policy) => policy.applies === applies).map(({ id }) => id));
  const modes = {
    enforce: modeAssumed ? 'enforce (assumed, as --namespace-labels is not given)' : 'enforce',
    observe: 'observe: what a policy says is reported, and everything is allowed',
    none: 'none: the namespace has not opted in, so no policy has an effect',
  };
  return [
    `${pod.kind} ${pod.name ?? 'without a name'} in namespace ${pod.namespace}`,
    `  mode:         ${modes[mode ?? 'none']}`,
    ...containers.map(({ container, image }) => `  container:    ${container}, image ${image}`),
    `  apply:        ${idsThat('yes')}`,
    `  may apply:    ${idsThat('unknown')}`,
    `  do not apply: ${idsThat('no')}`,
  ];
}

function renderVerdict({ event, verdict, mode, containers }: PodExplanation): string[] {
  if (event === undefined) return [];
  const said = containers.flatMap(({ container, decision }) =>
    (decision?.policies ?? []).map(
      ({ policyId, actions, matchedSelectors }) =>
        `  in ${container}, ${policyId} says ${listed(actions)}, as ${listed(matchedSelectors)} matches`,
    ),
  );
  const denied = containers.some(({ decision }) => decision?.verdict === 'deny');
  const mild = mode === 'observe' ? 'only observes' : 'has not opted in';
  const reason = denied && verdict === 'allow' ? `, though a policy says block: the namespace ${mild}` : '';
  return [
    '',
    `event: ${eventText(event)}`,
    ...(said.length > 0 ? said : ['  no policy says anything']),
    `verdict: ${verdict}${reason}`,
  ];
}

function eventText(event: PolicyEvent): string {
  if (event.section === 'file') {
    return `${listed(event.operations)} of ${event.path}, ${mountWords[event.mount]}`;
  }
  const terminal = { true: ', interactive', false: ', not interactive', undefined: '' };
  return `${event.operation} of ${event.executable}${terminal[`${event.interactive}`]}`;
}

/** Containers of which the same is to be said are named together. Of an event only its own section speaks. */
function renderPolicy({ id, containers }: PolicyExplanation, event: PolicyEvent | undefined): string[] {
  const groups = new Map<string, { names: string[]; explanation: ContainerExplanation }>();
  for (const explanation of containers) {
    const key = JSON.stringify(explanation.sections);
    const group = groups.get(key) ?? { names: [], explanation };
    group.names.push(explanation.container);
    groups.set(key, group);
  }
  const words = { yes: 'applies', no: 'does not apply', unknown: 'may apply' };
  return [...groups.values()].flatMap(({ names, explanation: { applies, sections } }) => {
    const told = sections.filter(({ section }) => event === undefined || event.section === section);
    const silent = `  it has no ${event?.section} section, so it says nothing of this event`;
    const reasons = told.length > 0 ? told.flatMap(renderSection) : [silent];
    return [`policy ${id} ${words[applies]} to ${listed(names)}`, ...reasons];
  });
}

function renderSection({ section, selectors, responses }: SectionExplanation): string[] {
  return [
    ...responses.flatMap((response, index) => renderResponse(`${section} response ${index + 1}`, response)),
    ...selectors.flatMap((selector) => renderSelector(`${section} selector ${selector.name}`, selector)),
  ];
}

function renderResponse(title: string, response: ResponseExplanation): string[] {
  const { match, exclude, actions, applies, fires } = response;
  const words = { yes: 'can fire', no: 'cannot fire', unknown: 'may be able to fire' };
  const state = fires === undefined ? words[applies] : fires ? 'fires' : 'does not fire';
  const unless = exclude.length > 0 ? `, unless ${exclude.join(' or ')} does` : '';
  return [`  ${title} ${state}: ${listed(actions)} when ${match.join(' or ')} matches${unless}`];
}

function renderSelector(title: string, { workload, matches, conditions }: SelectorExplanation): string[] {
  const words =
    matches === undefined
      ? { yes: 'can match', no: 'cannot match', unknown: 'may be able to match' }
      : { yes: 'matches', no: 'does not match', unknown: 'may match (--on-unknown decides)' };
  const heading = `  ${title} ${words[matches ?? workload]}`;
  return [heading, ...conditions.map((condition) => renderCondition(condition, matches !== undefined))];
}

function renderCondition(explanation: ConditionExplanation, hasEvent: boolean): string {
  const { condition, about, holds, values } = explanation;
  const wanted = `${condition} ${values.join(' or ')}`;
  if (about === 'event' && !hasEvent) return `    event    ${wanted}`;
  return `    ${holds.padEnd(8)} ${wanted}: ${foundText(explanation)}`;
}

function foundText({ condition, found, holds, heldBy }: ConditionExplanation): string {
  if (found === undefined) return 'not known';
  if (found === null) return 'there is none';
  if (condition.startsWith('ignoreVolume')) return mountWords[found] ?? found;
  const is = `it is ${found}`;
  if (holds === 'unknown') return `${is}, which may become ${heldBy}`;
  return heldBy === undefined || heldBy === found ? is : `${is}, which fits ${heldBy}`;
}

function listed(items: readonly string[]): string {
  return items.length > 0 ? items.join(', ') : 'none';
}

/** Control characters as escapes: names come from files that others wrote, and terminals obey them. */
function printable(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${character.codePointAt(0)?.toString(16)}}`;
  });
}
