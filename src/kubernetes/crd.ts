/**
 * The custom resource ContainerPolicy as a CustomResourceDefinition, made from the tables of the language.
 *
 * The schema is there for `kubectl explain` and for the types of values; everything else is left to `/policies`, which
 * reports every fault at once and in the language's own words. An API server drops unknown fields before any webhook
 * sees them, and a policy without its misspelt `targetFilePaths` would match more than its author meant. So every
 * mapping keeps what it does not know.
 */

import {
  type ConditionName,
  conditions,
  isConditionOf,
  operationsOf,
  selectorKeys,
} from '../policy/conditions.ts';
import { actions, type Section, sections } from '../policy/types.ts';
import type { CustomResourceDefinition } from './kinds.ts';
import { group } from './names.ts';

export const definitionName = `containerpolicies.${group}`;

interface Schema {
  readonly description?: string;
  readonly type?: 'object' | 'array' | 'string' | 'boolean' | 'integer';
  readonly format?: 'int64' | 'date-time';
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
  readonly 'x-kubernetes-list-type'?: 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
}

/** What each condition compares. Its limits and sections are added from the table of conditions. */
const meaning: Record<ConditionName | 'name', string> = {
  name: 'The name by which responses refer to this selector: letters, digits, `_` and `-`, at most 128.',
  operation: 'What is done.',
  containerImageFullName: 'Registry and repository of the image, such as `docker.io/library/nginx`.',
  containerImageName: 'The last segment of the image repository, such as `nginx`.',
  containerImageTag: 'The tag of the image; `latest` when it has neither tag nor digest.',
  kubernetesClusterId: 'The UID of the namespace `kube-system`.',
  kubernetesClusterName: 'The name of the cluster as configured.',
  kubernetesNamespace: 'The namespace of the pod.',
  kubernetesPodName: 'The name of the pod; a trailing `*` stands for any rest.',
  kubernetesPodLabel: 'A label of the pod as `key:value`; a trailing `*` in the value stands for any rest.',
  targetFilePath:
    'The absolute path in the container, symbolic links resolved; `*` stays within one component, `**` crosses them.',
  ignoreVolumeMounts: 'Whether files on any mount but the root filesystem are left out.',
  ignoreVolumeFiles:
    'Whether files that are mounts themselves, or come from configMaps and secrets, are left out.',
  processExecutable:
    'The absolute path of the executable in the container; wildcards as in `targetFilePath`.',
  processName: 'The first 15 bytes of the name of the executable.',
  sessionLeaderInteractive: 'Whether the session has a terminal.',
};

/** The manifest that `install` applies and the chart ships. Its keys are in a stable order. */
export function containerPolicyDefinition(): CustomResourceDefinition {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: definitionName, labels: { 'app.kubernetes.io/name': 'd4c-gate' } },
    spec: {
      group,
      scope: 'Cluster',
      names: {
        kind: 'ContainerPolicy',
        listKind: 'ContainerPolicyList',
        plural: 'containerpolicies',
        singular: 'containerpolicy',
        shortNames: ['cpol'],
      },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: [
            conditionColumn('Accepted', 'Whether the policy is free of errors and in use.'),
            conditionColumn('Enforceable', 'Whether every block of the policy can be prevented.'),
            {
              name: 'Pods',
              type: 'integer',
              jsonPath: '.status.boundPods',
              description: 'Pods to which the policy applies.',
            },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          schema: { openAPIV3Schema: schema() },
        },
      ],
    },
  };
}

function conditionColumn(type: string, description: string): Record<string, string> {
  return {
    name: type,
    type: 'string',
    jsonPath: `.status.conditions[?(@.type=="${type}")].status`,
    description,
  };
}

function schema(): Schema {
  const description =
    'A Defend for Containers policy: what is watched in containers, and what is logged, alerted or blocked. Its name is the policy ID.';
  return {
    description,
    type: 'object',
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: keepsUnknown('The policy. At least one of `file` and `process`.', {
        ...Object.fromEntries(sections.map((section) => [section, sectionSchema(section)])),
        version: { description: 'Ignored.', 'x-kubernetes-preserve-unknown-fields': true },
      }),
      status: statusSchema,
    },
  };
}

function sectionSchema(section: Section): Schema {
  const what =
    section === 'file' ? 'Operations on files.' : 'Processes that fork and executables that start.';
  const selector = Object.fromEntries(selectorKeys(section).map((key) => [key, selectorField(section, key)]));
  const names = (use: string): Schema => ({
    description: `Names of selectors of this section; ${use}.`,
    type: 'array',
    items: { type: 'string' },
  });
  return keepsUnknown(`${what} At most 64 selectors and responses together.`, {
    selectors: {
      description: 'What to look for. A selector matches when all of its conditions hold.',
      type: 'array',
      items: keepsUnknown('Conditions; any value of a list satisfies its condition.', selector),
    },
    responses: {
      description: 'What to do. Each response is decided for itself; the actions of all that fire are taken.',
      type: 'array',
      items: keepsUnknown('Fires when a `match` selector matches and no `exclude` selector does.', {
        match: names('at least one must match'),
        exclude: names('none may match'),
        actions: {
          description: `Any of ${quoted(actions)}; \`block\` needs \`alert\`.`,
          type: 'array',
          items: { type: 'string' },
        },
      }),
    },
  });
}

function selectorField(section: Section, key: string): Schema {
  const description = Object.hasOwn(meaning, key) ? meaning[key as keyof typeof meaning] : '';
  const condition = isConditionOf(section, key) ? conditions.get(key) : undefined;
  if (condition === undefined) return { description, type: 'string' };
  const list = { type: 'array', items: { type: 'string' } } as const;
  switch (condition.kind) {
    case 'boolean':
      return { description, type: 'boolean' };
    case 'operation':
      return { description: `${description} Any of ${quoted(operationsOf[section])}.`, ...list };
    case 'values':
      return { description: `${description} At most ${condition.maxBytes} bytes each.`, ...list };
  }
}

function keepsUnknown(description: string, properties: Readonly<Record<string, Schema>>): Schema {
  return { description, type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties };
}

const quoted = (words: readonly string[]) => words.map((word) => `\`${word}\``).join(', ');

const statusSchema: Schema = {
  description: 'Written by d4c-gate.',
  type: 'object',
  properties: {
    observedGeneration: {
      description: 'The generation of the policy that this status speaks of.',
      type: 'integer',
      format: 'int64',
    },
    boundPods: {
      description: 'Pods of opted-in namespaces to which the policy applies.',
      type: 'integer',
      format: 'int64',
    },
    undecidedPods: {
      description: 'Pods of opted-in namespaces of which something that the policy asks for is not known.',
      type: 'integer',
      format: 'int64',
    },
    conditions: {
      description:
        '`Accepted`: whether the policy is free of errors and in use. `Enforceable`: whether every block can be prevented, and by which backend.',
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
      items: {
        type: 'object',
        required: ['type', 'status'],
        properties: {
          type: { type: 'string' },
          status: { description: '`True`, `False` or `Unknown`.', type: 'string' },
          reason: { description: 'One word for programs.', type: 'string' },
          message: { description: 'A sentence for people; for faults their code and place.', type: 'string' },
          observedGeneration: { type: 'integer', format: 'int64' },
          lastTransitionTime: { type: 'string', format: 'date-time' },
        },
      },
    },
  },
};
