/** What every value of the chart changes: a row for each, which the tests render and look up. */

import type { Values } from '../support/helm.ts';

export interface ValueRow {
  /** In values.yaml. */
  readonly path: string;
  readonly value: unknown;
  /** Other values without which this one is refused or has no effect. */
  readonly with?: Values;
  /** `Kind/name` of the object in which it is seen; `absent` or `present` say that the object itself comes or goes. */
  readonly object: string;
  /** In the object. */
  readonly at?: string;
  readonly is: unknown;
}

const deployment = 'Deployment/d4c-gate-webhook';
const daemonSet = 'DaemonSet/d4c-gate-agent';
const keeper = 'DaemonSet/d4c-gate-keeper';
const mutating = 'MutatingWebhookConfiguration/d4c-gate';
const pod = 'spec.template.spec';
const container = `${pod}.containers[0]`;
const webhookArgs = `${container}.args`;

/** An argument that must be among those of a container. */
export const hasArgument = (argument: string) => ({ argument });
export const present = Symbol('present');
export const absent = Symbol('absent');

const toleration = [{ key: 'dedicated', operator: 'Exists' }];
const affinity = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } };
const resources = { requests: { cpu: '2' } };
const pem = '-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n';
const provided = { certificates: { mode: 'provided', provided: { secretName: 'mine', caBundle: pem } } };
const callers = { webhook: { clientAuthentication: { caBundle: pem, names: ['kube-apiserver'] } } };
const certManager = { certificates: { mode: 'cert-manager' } };

export const rows: readonly ValueRow[] = [
  {
    path: 'image.repository',
    value: 'registry.example:5000/gate',
    object: deployment,
    at: `${container}.image`,
    is: 'registry.example:5000/gate:0.1.0',
  },
  {
    path: 'image.tag',
    value: 'next',
    object: daemonSet,
    at: `${container}.image`,
    is: 'localhost/d4c-gate:next',
  },
  {
    path: 'image.digest',
    value: `sha256:${'a'.repeat(64)}`,
    object: daemonSet,
    at: `${container}.image`,
    is: `localhost/d4c-gate@sha256:${'a'.repeat(64)}`,
  },
  {
    path: 'image.pullPolicy',
    value: 'Always',
    object: deployment,
    at: `${container}.imagePullPolicy`,
    is: 'Always',
  },
  {
    path: 'imagePullSecrets',
    value: [{ name: 'registry' }],
    object: daemonSet,
    at: `${pod}.imagePullSecrets`,
    is: [{ name: 'registry' }],
  },
  {
    path: 'clusterName',
    value: 'blue: 1',
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--cluster-name=blue: 1'),
  },
  { path: 'logLevel', value: 'debug', object: deployment, at: `${container}.env[0].value`, is: 'debug' },
  {
    path: 'crds.install',
    value: false,
    object: 'CustomResourceDefinition/containerpolicies.d4c-gate.io',
    is: absent,
  },
  {
    path: 'crds.keep',
    value: true,
    object: 'CustomResourceDefinition/containerpolicies.d4c-gate.io',
    at: 'metadata.annotations[helm.sh/resource-policy]',
    is: 'keep',
  },
  {
    path: 'policies.defaults',
    value: ['default', 'drift-prevention', 'detections'],
    object: deployment,
    at: webhookArgs,
    is: hasArgument('--policies=/etc/d4c-gate/policies'),
  },
  { path: 'policies.defaults', value: ['default'], object: 'ConfigMap/d4c-gate-policies', is: present },
  { path: 'webhook.enabled', value: false, object: mutating, is: absent },
  { path: 'webhook.replicas', value: 3, object: deployment, at: 'spec.replicas', is: 3 },
  {
    path: 'webhook.failurePolicy',
    value: 'Fail',
    object: mutating,
    at: 'webhooks[0].failurePolicy',
    is: 'Fail',
  },
  { path: 'webhook.timeoutSeconds', value: 9, object: mutating, at: 'webhooks[0].timeoutSeconds', is: 9 },
  {
    path: 'webhook.excludedNamespaces',
    value: ['kube-public'],
    object: mutating,
    at: 'webhooks[0].namespaceSelector.matchExpressions[1].values[2]',
    is: 'kube-public',
  },
  {
    path: 'webhook.beforeSync',
    value: 'deny',
    object: deployment,
    at: webhookArgs,
    is: hasArgument('--before-sync=deny'),
  },
  {
    path: 'webhook.maxInFlight',
    value: 64,
    object: deployment,
    at: webhookArgs,
    is: hasArgument('--max-in-flight=64'),
  },
  {
    path: 'webhook.clientAuthentication.caBundle',
    value: `${pem}${pem}`,
    with: callers,
    object: 'ConfigMap/d4c-gate-webhook-client-ca',
    at: 'data[ca.crt]',
    is: `${pem}${pem}`,
  },
  {
    path: 'webhook.clientAuthentication.names',
    value: ['front proxy: 1'],
    with: callers,
    object: deployment,
    at: webhookArgs,
    is: hasArgument('--client-name=front proxy: 1'),
  },
  {
    path: 'webhook.priorityClassName',
    value: '',
    object: deployment,
    at: `${pod}.priorityClassName`,
    is: undefined,
  },
  {
    path: 'webhook.resources',
    value: resources,
    object: deployment,
    at: `${container}.resources.requests.cpu`,
    is: '2',
  },
  {
    path: 'webhook.preStopSeconds',
    value: 2,
    object: deployment,
    at: `${container}.lifecycle.preStop.sleep.seconds`,
    is: 2,
  },
  {
    path: 'webhook.preStopSeconds',
    value: 0,
    object: deployment,
    at: `${container}.lifecycle`,
    is: undefined,
  },
  {
    path: 'webhook.terminationGracePeriodSeconds',
    value: 90,
    object: deployment,
    at: `${pod}.terminationGracePeriodSeconds`,
    is: 90,
  },
  {
    path: 'webhook.podDisruptionBudget.enabled',
    value: false,
    object: 'PodDisruptionBudget/d4c-gate-webhook',
    is: absent,
  },
  {
    path: 'webhook.podDisruptionBudget.maxUnavailable',
    value: 2,
    with: { webhook: { replicas: 3 } },
    object: 'PodDisruptionBudget/d4c-gate-webhook',
    at: 'spec.maxUnavailable',
    is: 2,
  },
  {
    path: 'webhook.topologySpread.enabled',
    value: false,
    object: deployment,
    at: `${pod}.topologySpreadConstraints`,
    is: undefined,
  },
  {
    path: 'webhook.topologySpread.whenUnsatisfiable',
    value: 'DoNotSchedule',
    object: deployment,
    at: `${pod}.topologySpreadConstraints[0].whenUnsatisfiable`,
    is: 'DoNotSchedule',
  },
  {
    path: 'webhook.topologySpread.whenUnsatisfiable',
    value: 'DoNotSchedule',
    object: deployment,
    at: `${pod}.topologySpreadConstraints[0].minDomains`,
    is: 2,
  },
  {
    path: 'webhook.nodeSelector',
    value: { pool: 'system' },
    object: deployment,
    at: `${pod}.nodeSelector`,
    is: { 'kubernetes.io/os': 'linux', pool: 'system' },
  },
  {
    path: 'webhook.tolerations',
    value: toleration,
    object: deployment,
    at: `${pod}.tolerations`,
    is: toleration,
  },
  { path: 'webhook.affinity', value: affinity, object: deployment, at: `${pod}.affinity`, is: affinity },
  {
    path: 'webhook.podAnnotations',
    value: { team: 'security' },
    object: deployment,
    at: 'spec.template.metadata.annotations.team',
    is: 'security',
  },
  {
    path: 'webhook.podLabels',
    value: { team: 'security' },
    object: deployment,
    at: 'spec.template.metadata.labels.team',
    is: 'security',
  },
  {
    path: 'certificates.mode',
    value: 'cert-manager',
    object: mutating,
    at: 'metadata.annotations[cert-manager.io/inject-ca-from]',
    is: 'gate-system/d4c-gate-webhook',
  },
  {
    path: 'certificates.certManager.issuerRef.name',
    value: 'corporate',
    with: certManager,
    object: 'Issuer/d4c-gate-webhook',
    is: absent,
  },
  {
    path: 'certificates.certManager.issuerRef.kind',
    value: 'ClusterIssuer',
    with: { certificates: { mode: 'cert-manager', certManager: { issuerRef: { name: 'corporate' } } } },
    object: 'Certificate/d4c-gate-webhook',
    at: 'spec.issuerRef.kind',
    is: 'ClusterIssuer',
  },
  {
    path: 'certificates.certManager.issuerRef.group',
    value: 'vault.example',
    with: { certificates: { mode: 'cert-manager', certManager: { issuerRef: { name: 'corporate' } } } },
    object: 'Certificate/d4c-gate-webhook',
    at: 'spec.issuerRef.group',
    is: 'vault.example',
  },
  {
    path: 'certificates.certManager.duration',
    value: '1440h',
    with: certManager,
    object: 'Certificate/d4c-gate-webhook',
    at: 'spec.duration',
    is: '1440h',
  },
  {
    path: 'certificates.certManager.renewBefore',
    value: '240h',
    with: certManager,
    object: 'Certificate/d4c-gate-webhook',
    at: 'spec.renewBefore',
    is: '240h',
  },
  {
    path: 'certificates.provided.secretName',
    value: 'other',
    with: provided,
    object: deployment,
    at: webhookArgs,
    is: hasArgument('--secret=other'),
  },
  {
    path: 'certificates.provided.caBundle',
    value: `${pem}${pem}`,
    with: provided,
    object: mutating,
    at: 'webhooks[0].clientConfig.caBundle',
    is: Buffer.from(`${pem}${pem}`).toString('base64'),
  },
  { path: 'agent.enabled', value: false, object: daemonSet, is: absent },
  {
    path: 'agent.mode',
    value: 'observe',
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--mode=observe'),
  },
  { path: 'agent.holdMs', value: 500, object: daemonSet, at: webhookArgs, is: hasArgument('--hold-ms=500') },
  {
    path: 'agent.onUnknown',
    value: 'deny',
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--on-unknown=deny'),
  },
  {
    path: 'agent.onAgentLoss',
    value: 'deny',
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--on-agent-loss=deny'),
  },
  {
    path: 'agent.silenceMs',
    value: 50_000,
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--silence-ms=50000'),
  },
  {
    path: 'agent.deadlineMs',
    value: 50_000,
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--deadline-ms=50000'),
  },
  {
    path: 'agent.onDeadline',
    value: 'allow',
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--on-deadline=allow'),
  },
  ...(['blockScripts', 'memfdNoexec', 'processEnds'] as const).map((name) => ({
    path: `agent.${name}`,
    value: true,
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument(`--${name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)}`),
  })),
  {
    path: 'agent.dataStreamNamespace',
    value: 'prod.eu_1',
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--namespace=prod.eu_1'),
  },
  { path: 'agent.hostNetwork', value: false, object: daemonSet, at: `${pod}.hostNetwork`, is: undefined },
  {
    path: 'agent.containerdSockets',
    value: ['/run/k3s/containerd/containerd.sock'],
    object: daemonSet,
    at: webhookArgs,
    is: hasArgument('--containerd-socket=/run/k3s/containerd/containerd.sock'),
  },
  {
    path: 'agent.priorityClassName',
    value: 'gate',
    object: daemonSet,
    at: `${pod}.priorityClassName`,
    is: 'gate',
  },
  {
    path: 'agent.tolerations',
    value: toleration,
    object: daemonSet,
    at: `${pod}.tolerations`,
    is: toleration,
  },
  {
    path: 'agent.nodeSelector',
    value: { pool: 'workers' },
    object: daemonSet,
    at: `${pod}.nodeSelector.pool`,
    is: 'workers',
  },
  { path: 'agent.affinity', value: affinity, object: daemonSet, at: `${pod}.affinity`, is: affinity },
  {
    path: 'agent.resources',
    value: resources,
    object: daemonSet,
    at: `${container}.resources.requests.cpu`,
    is: '2',
  },
  {
    path: 'agent.maxSurge',
    value: '10%',
    object: daemonSet,
    at: 'spec.updateStrategy.rollingUpdate.maxSurge',
    is: '10%',
  },
  {
    path: 'agent.terminationGracePeriodSeconds',
    value: 60,
    object: daemonSet,
    at: `${pod}.terminationGracePeriodSeconds`,
    is: 60,
  },
  {
    path: 'agent.podAnnotations',
    value: { team: 'security' },
    object: daemonSet,
    at: 'spec.template.metadata.annotations.team',
    is: 'security',
  },
  {
    path: 'agent.podLabels',
    value: { team: 'security' },
    object: daemonSet,
    at: 'spec.template.metadata.labels.team',
    is: 'security',
  },
  { path: 'agent.enabled', value: false, object: keeper, is: absent },
  { path: 'agent.hostNetwork', value: false, object: keeper, at: `${pod}.hostNetwork`, is: undefined },
  {
    path: 'agent.priorityClassName',
    value: 'gate',
    object: keeper,
    at: `${pod}.priorityClassName`,
    is: 'gate',
  },
  { path: 'agent.tolerations', value: toleration, object: keeper, at: `${pod}.tolerations`, is: toleration },
  {
    path: 'agent.nodeSelector',
    value: { pool: 'workers' },
    object: keeper,
    at: `${pod}.nodeSelector.pool`,
    is: 'workers',
  },
  { path: 'agent.affinity', value: affinity, object: keeper, at: `${pod}.affinity`, is: affinity },
  {
    path: 'keeper.netAdmin',
    value: true,
    object: keeper,
    at: `${container}.securityContext.capabilities.add[5]`,
    is: 'NET_ADMIN',
  },
  {
    path: 'keeper.resources',
    value: resources,
    object: keeper,
    at: `${container}.resources.requests.cpu`,
    is: '2',
  },
  {
    path: 'keeper.podAnnotations',
    value: { team: 'security' },
    object: keeper,
    at: 'spec.template.metadata.annotations.team',
    is: 'security',
  },
  {
    path: 'keeper.podLabels',
    value: { team: 'security' },
    object: keeper,
    at: 'spec.template.metadata.labels.team',
    is: 'security',
  },
  { path: 'networkPolicy.enabled', value: true, object: 'NetworkPolicy/d4c-gate-webhook', is: present },
  {
    path: 'networkPolicy.apiServerCidrs',
    value: ['10.0.0.1/32'],
    with: { networkPolicy: { enabled: true } },
    object: 'NetworkPolicy/d4c-gate-webhook',
    at: 'spec.egress[0].to',
    is: [{ ipBlock: { cidr: '10.0.0.1/32' } }],
  },
  {
    path: 'networkPolicy.apiServerPorts',
    value: [16443],
    with: { networkPolicy: { enabled: true } },
    object: 'NetworkPolicy/d4c-gate-webhook',
    at: 'spec.egress[0].ports',
    is: [{ protocol: 'TCP', port: 16443 }],
  },
  {
    path: 'networkPolicy.metricsFrom',
    value: [{ namespaceSelector: {} }],
    with: { networkPolicy: { enabled: true, apiServerCidrs: ['10.0.0.1/32'] } },
    object: 'NetworkPolicy/d4c-gate-webhook',
    at: 'spec.ingress[0].from[1]',
    is: { namespaceSelector: {} },
  },
  {
    path: 'metrics.serviceMonitor.enabled',
    value: true,
    object: 'ServiceMonitor/d4c-gate-webhook',
    is: present,
  },
  {
    path: 'metrics.serviceMonitor.interval',
    value: '10s',
    with: { metrics: { serviceMonitor: { enabled: true } } },
    object: 'ServiceMonitor/d4c-gate-webhook',
    at: 'spec.endpoints[0].interval',
    is: '10s',
  },
  {
    path: 'metrics.serviceMonitor.labels',
    value: { release: 'prometheus' },
    with: { metrics: { serviceMonitor: { enabled: true } } },
    object: 'ServiceMonitor/d4c-gate-webhook',
    at: 'metadata.labels.release',
    is: 'prometheus',
  },
  { path: 'metrics.prometheusRule.enabled', value: true, object: 'PrometheusRule/d4c-gate', is: present },
  {
    path: 'metrics.prometheusRule.labels',
    value: { release: 'prometheus' },
    with: { metrics: { prometheusRule: { enabled: true } } },
    object: 'PrometheusRule/d4c-gate',
    at: 'metadata.labels.release',
    is: 'prometheus',
  },
  {
    path: 'metrics.grafanaDashboard.enabled',
    value: true,
    object: 'ConfigMap/d4c-gate-dashboard',
    is: present,
  },
  {
    path: 'metrics.grafanaDashboard.labels',
    value: { dashboards: 'yes' },
    with: { metrics: { grafanaDashboard: { enabled: true } } },
    object: 'ConfigMap/d4c-gate-dashboard',
    at: 'metadata.labels.dashboards',
    is: 'yes',
  },
];

/** Sets of values, one of each list, that are rendered in every combination. */
export const switches: readonly (readonly Values[])[] = [
  [
    {},
    { webhook: { enabled: false } },
    { agent: { enabled: false } },
    {
      webhook: { replicas: 1, preStopSeconds: 0, topologySpread: { enabled: false }, priorityClassName: '' },
    },
  ],
  [
    {},
    certManager,
    { certificates: { mode: 'cert-manager', certManager: { issuerRef: { name: 'corporate' } } } },
    provided,
  ],
  [{}, { crds: { install: false } }, { crds: { keep: true } }],
  [
    {},
    {
      policies: { defaults: ['drift-prevention', 'detections'] },
      networkPolicy: { enabled: true, apiServerCidrs: ['10.0.0.0/8'], metricsFrom: [{ podSelector: {} }] },
      metrics: { grafanaDashboard: { enabled: true } },
      imagePullSecrets: [{ name: 'registry' }],
      clusterName: 'blue',
      ...callers,
    },
  ],
];
