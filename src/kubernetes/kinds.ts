/**
 * The kinds of objects that d4c-gate reads or writes, and of each only the fields that it looks at. Objects are the
 * API server's JSON as it came, so unknown fields survive a round trip.
 */

export interface Metadata {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  /** RFC 3339. */
  creationTimestamp?: string;
  deletionTimestamp?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  /** Who set which field, and when it last wrote one of its own. */
  managedFields?: { time?: string; fieldsV1?: Record<string, Record<string, Record<string, unknown>>> }[];
  ownerReferences?: { apiVersion: string; kind: string; name: string; uid: string; controller?: boolean }[];
}

export interface KubernetesObject {
  apiVersion?: string;
  kind?: string;
  metadata: Metadata;
}

interface Container {
  name: string;
  image?: string;
}

export interface Pod extends KubernetesObject {
  spec?: {
    nodeName?: string;
    containers?: Container[];
    initContainers?: Container[];
    ephemeralContainers?: Container[];
  };
  status?: {
    phase?: string;
    podIPs?: { ip: string }[];
    /** Whose `containerID` and `image` say what really runs. */
    containerStatuses?: { name: string; image: string; imageID: string; containerID?: string }[];
  };
}

export interface Secret extends KubernetesObject {
  type?: string;
  /** Base64. */
  data?: Record<string, string>;
}

export interface Lease extends KubernetesObject {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    /** RFC 3339 with microseconds. */
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

/** Of events.k8s.io/v1. The name ends in Record since `Event` is a global type. */
export interface EventRecord extends KubernetesObject {
  eventTime: string;
  reportingController: string;
  reportingInstance: string;
  action: string;
  reason: string;
  type: 'Normal' | 'Warning';
  note?: string;
  regarding?: { apiVersion: string; kind: string; name: string; namespace?: string; uid?: string };
}

export interface WebhookConfiguration extends KubernetesObject {
  webhooks?: Webhook[];
}

export interface Webhook {
  name: string;
  clientConfig: {
    url?: string;
    service?: { name: string; namespace: string; path?: string; port?: number };
    /** PEM in base64. */
    caBundle?: string;
  };
  rules?: {
    operations: string[];
    apiGroups: string[];
    apiVersions: string[];
    resources: string[];
    scope?: string;
  }[];
  failurePolicy?: 'Fail' | 'Ignore';
  matchPolicy?: 'Exact' | 'Equivalent';
  sideEffects: 'None' | 'NoneOnDryRun';
  timeoutSeconds?: number;
  reinvocationPolicy?: 'Never' | 'IfNeeded';
  admissionReviewVersions: string[];
  namespaceSelector?: LabelSelector;
  matchConditions?: { name: string; expression: string }[];
  objectSelector?: LabelSelector;
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: {
    key: string;
    operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    values?: string[];
  }[];
}

export interface CustomResourceDefinition extends KubernetesObject {
  spec: Record<string, unknown>;
  status?: { conditions?: { type: string; status: string }[] };
}

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  observedGeneration?: number;
  lastTransitionTime: string;
}

export interface ContainerPolicy extends KubernetesObject {
  /** The policy document, not yet validated. */
  spec?: unknown;
  status?: {
    observedGeneration?: number;
    boundPods?: number;
    undecidedPods?: number;
    conditions?: Condition[];
  };
}

/** Of openreports.io/v1alpha1, the report of a namespace. */
export interface Report extends KubernetesObject {
  source?: string;
  scope?: { apiVersion: string; kind: string; name: string };
  summary?: Partial<Record<ReportOutcome, number>>;
  results?: {
    source: string;
    policy: string;
    category?: string;
    result: ReportOutcome;
    message?: string;
    properties?: Record<string, string>;
  }[];
}

/** Kept nowhere: creating one is asking who we are. */
export interface SelfSubjectReview extends KubernetesObject {
  status?: { userInfo?: { username?: string } };
}

export type ReportOutcome = 'pass' | 'fail' | 'warn' | 'error' | 'skip';

/** The object of each kind, by the plural name that RBAC rules use too. */
export interface ObjectOf {
  pods: Pod;
  namespaces: KubernetesObject;
  secrets: Secret;
  leases: Lease;
  events: EventRecord;
  mutatingwebhookconfigurations: WebhookConfiguration;
  validatingwebhookconfigurations: WebhookConfiguration;
  customresourcedefinitions: CustomResourceDefinition;
  containerpolicies: ContainerPolicy;
  reports: Report;
  selfsubjectreviews: SelfSubjectReview;
}

export type Kind = keyof ObjectOf;

/** Group and version as in `apiVersion`, the kind's name in objects, and whether it lives in namespaces. */
export const kinds: Readonly<Record<Kind, { apiVersion: string; kind: string; namespaced: boolean }>> = {
  pods: { apiVersion: 'v1', kind: 'Pod', namespaced: true },
  namespaces: { apiVersion: 'v1', kind: 'Namespace', namespaced: false },
  secrets: { apiVersion: 'v1', kind: 'Secret', namespaced: true },
  leases: { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespaced: true },
  events: { apiVersion: 'events.k8s.io/v1', kind: 'Event', namespaced: true },
  mutatingwebhookconfigurations: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    namespaced: false,
  },
  validatingwebhookconfigurations: {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    namespaced: false,
  },
  customresourcedefinitions: {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    namespaced: false,
  },
  containerpolicies: { apiVersion: 'd4c-gate.io/v1alpha1', kind: 'ContainerPolicy', namespaced: false },
  reports: { apiVersion: 'openreports.io/v1alpha1', kind: 'Report', namespaced: true },
  selfsubjectreviews: {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'SelfSubjectReview',
    namespaced: false,
  },
};
