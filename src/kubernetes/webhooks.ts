/**
 * What the API server asks d4c-gate about: the table of webhooks, and the two configurations made of it.
 *
 * What happens to requests while nobody answers is `failurePolicy` for the two hooks on pods. `/policies` fails closed,
 * since an unchecked policy could widen a block and only authors of policies wait. `/advise` only warns; `/guard` fails
 * open, so that opting a namespace out stays possible when nobody answers any more. Both are waited for shortly.
 */

import { GateError } from '../errors.ts';
import type { LabelSelector, Webhook, WebhookConfiguration } from './kinds.ts';
import { group, modeLabel, modes, neverTouched, ownLabels } from './names.ts';

/** The name of both configurations when `install` makes them. */
export const configurationName = 'd4c-gate';

export interface WebhookOptions {
  /** Where the API server finds the webhooks: an https URL that paths are put behind, or a Service. */
  readonly endpoint:
    | { readonly url: string }
    | { readonly service: { readonly name: string; readonly namespace: string; readonly port?: number } };
  /** PEM. Absent: another field manager owns `caBundle`, as the controller does in a cluster. */
  readonly caBundle?: string;
  /** The namespace of d4c-gate itself, which is never asked about. */
  readonly ownNamespace: string;
  /** Further namespaces that can never opt in (default: none). */
  readonly excludedNamespaces?: readonly string[];
  /** The user who mends annotations, whose own patches are not asked about (default: everyone is asked about). */
  readonly controllerUser?: string;
  /** For pods, exec and attach while nobody answers (default: Ignore; the controller mends what was missed). */
  readonly failurePolicy?: 'Ignore' | 'Fail';
  /** 1 to 30 (default: 5). */
  readonly timeoutSeconds?: number;
}

type Rule = readonly [operations: string, groupAndResources: string];

/** One row of the table. */
interface Hook {
  readonly path: string;
  /** `GROUP: RESOURCE, ...`, with `core` for the group without a name. */
  readonly rules: readonly Rule[];
  /** `pods`: as the operator set it. */
  readonly failurePolicy: 'Ignore' | 'Fail' | 'pods';
  /** The controller works out the annotations by itself; to ask about each of its patches would take twice as long. */
  readonly notController?: true;
  /** Only where the namespace has opted in. Cluster-scoped objects are asked about in any case. */
  readonly onlyOptedIn: boolean;
  readonly sideEffects: Webhook['sideEffects'];
  /** Absent: as the operator set it. */
  readonly timeoutSeconds?: number;
  /** CEL; API servers before 1.28 leave them out and ask more often. */
  readonly conditions?: readonly { readonly name: string; readonly expression: string }[];
}

const modeOf = (object: string) =>
  `(has(${object}.metadata.labels) && '${modeLabel}' in ${object}.metadata.labels ? ${object}.metadata.labels['${modeLabel}'] : '')`;

const mutating: readonly Hook[] = [
  {
    path: '/mutate',
    rules: [['CREATE UPDATE', 'core: pods']],
    failurePolicy: 'pods',
    notController: true,
    onlyOptedIn: true,
    sideEffects: 'None',
  },
];

const validating: readonly Hook[] = [
  {
    path: '/validate',
    rules: [
      ['CREATE UPDATE', 'core: pods'],
      ['UPDATE', 'core: pods/ephemeralcontainers, pods/resize'],
      ['CONNECT', 'core: pods/exec, pods/attach'],
    ],
    failurePolicy: 'pods',
    notController: true,
    onlyOptedIn: true,
    // A refusal writes an Event, except on a dry run.
    sideEffects: 'NoneOnDryRun',
  },
  {
    path: '/policies',
    rules: [['CREATE UPDATE', `${group}: containerpolicies`]],
    failurePolicy: 'Fail',
    onlyOptedIn: false,
    sideEffects: 'NoneOnDryRun',
  },
  {
    path: '/advise',
    rules: [
      ['CREATE UPDATE', 'apps: deployments, statefulsets, daemonsets, replicasets'],
      ['CREATE UPDATE', 'batch: jobs, cronjobs'],
    ],
    failurePolicy: 'Ignore',
    onlyOptedIn: true,
    sideEffects: 'None',
    timeoutSeconds: 2,
    // What a controller makes of a template has nobody to read a warning.
    conditions: [
      {
        name: 'made-by-a-person',
        expression:
          '!has(object.metadata.ownerReferences) || !object.metadata.ownerReferences.exists(owner, has(owner.controller) && owner.controller)',
      },
    ],
  },
  {
    path: '/guard',
    rules: [['CREATE UPDATE', 'core: namespaces']],
    failurePolicy: 'Ignore',
    // Opting out takes the label away, so a selector on it would not see that.
    onlyOptedIn: false,
    sideEffects: 'None',
    timeoutSeconds: 3,
    conditions: [
      { name: 'not-deleted', expression: '!has(object.metadata.deletionTimestamp)' },
      {
        name: 'mode-changes',
        expression: `${modeOf('object')} != (oldObject == null ? '' : ${modeOf('oldObject')})`,
      },
    ],
  },
];

/** @throws USAGE when the URL is not one that an API server accepts */
export function mutatingConfiguration(options: WebhookOptions): WebhookConfiguration {
  return configuration(mutating, options, { reinvocationPolicy: 'IfNeeded' });
}

/** @throws USAGE when the URL is not one that an API server accepts */
export function validatingConfiguration(options: WebhookOptions): WebhookConfiguration {
  return configuration(validating, options, {});
}

/** Whether every webhook of a configuration is ours, whatever release or chart made it. */
export function isOurs({ webhooks = [] }: WebhookConfiguration): boolean {
  return webhooks.length > 0 && webhooks.every(({ name }) => name.endsWith(`.${group}`));
}

function configuration(
  hooks: readonly Hook[],
  options: WebhookOptions,
  added: Pick<Webhook, 'reinvocationPolicy'>,
): WebhookConfiguration {
  return {
    metadata: { name: configurationName, labels: { ...ownLabels } },
    webhooks: hooks.map((hook) => ({ ...webhook(hook, options), ...added })),
  };
}

function webhook(hook: Hook, options: WebhookOptions): Webhook {
  const { failurePolicy = 'Ignore', timeoutSeconds = 5, excludedNamespaces: excluded = [] } = options;
  const conditions = [...(hook.conditions ?? []), ...exceptions(hook, options)];
  return {
    name: `${hook.path.slice(1)}.${group}`,
    clientConfig: clientConfig(hook.path, options),
    rules: hook.rules.map(ruleOf),
    failurePolicy: hook.failurePolicy === 'pods' ? failurePolicy : hook.failurePolicy,
    matchPolicy: 'Equivalent',
    sideEffects: hook.sideEffects,
    timeoutSeconds: hook.timeoutSeconds ?? timeoutSeconds,
    admissionReviewVersions: ['v1'],
    ...(hook.onlyOptedIn
      ? { namespaceSelector: optedIn(options) }
      : hook.path === '/guard' && excluded.length > 0 && { namespaceSelector: noneOf(excluded) }),
    ...(conditions.length > 0 && { matchConditions: conditions.map((condition) => ({ ...condition })) }),
  };
}

function exceptions(
  { notController }: Hook,
  { controllerUser }: WebhookOptions,
): NonNullable<Webhook['matchConditions']> {
  if (notController === undefined || controllerUser === undefined) return [];
  const expression = `request.userInfo.username != '${controllerUser}'`;
  return [{ name: 'not-by-the-controller', expression }];
}

/** Also a namespace that was labelled by accident is left out if the cluster or d4c-gate itself depends on it. */
function optedIn({ ownNamespace, excludedNamespaces = [] }: WebhookOptions): LabelSelector {
  const never = [...new Set([...neverTouched(ownNamespace), ...excludedNamespaces])];
  const { matchExpressions = [] } = noneOf(never);
  return {
    matchExpressions: [{ key: modeLabel, operator: 'In', values: [...modes] }, ...matchExpressions],
  };
}

function noneOf(names: readonly string[]): LabelSelector {
  return {
    matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [...names] }],
  };
}

function ruleOf([operations, groupAndResources]: Rule): NonNullable<Webhook['rules']>[number] {
  const [apiGroup = '', resources = ''] = groupAndResources.split(': ');
  return {
    operations: operations.split(' '),
    apiGroups: [apiGroup === 'core' ? '' : apiGroup],
    apiVersions: ['*'],
    resources: resources.split(', '),
    scope: '*',
  };
}

function clientConfig(path: string, { endpoint, caBundle }: WebhookOptions): Webhook['clientConfig'] {
  const trust = caBundle === undefined ? {} : { caBundle: Buffer.from(caBundle).toString('base64') };
  if ('service' in endpoint) {
    const { name, namespace, port = 443 } = endpoint.service;
    return { service: { name, namespace, port, path }, ...trust };
  }
  const url = URL.parse(endpoint.url);
  if (
    url === null ||
    url.protocol !== 'https:' ||
    url.search + url.hash + url.username + url.password !== ''
  ) {
    throw new GateError(
      'USAGE',
      `\`--webhook-url ${endpoint.url}\` must be https://HOST[:PORT][/PATH], without a query or a user`,
    );
  }
  return { url: `${url.href.replace(/\/+$/, '')}${path}`, ...trust };
}
