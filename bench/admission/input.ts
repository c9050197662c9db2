/** What is asked and by which policies: a review of a pod of about 7 kB, and N policies of which one applies to it. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const bytesWanted = 7_000;

/** The policy `policy-0` is the one that applies. */
export function policyText(index: number): string {
  return `process:
  selectors:
    - name: programs
      operation: [exec]
      kubernetesNamespace: [team-${index}]
      kubernetesPodLabel: ["app:app-${index}"]
  responses:
    - match: [programs]
      actions: [alert]
`;
}

export async function writePolicies(folder: string, count: number): Promise<string> {
  const directory = join(folder, `policies-${count}`);
  await mkdir(directory, { recursive: true });
  for (let index = 0; index < count; index++) {
    await writeFile(join(directory, `policy-${index}.yaml`), policyText(index));
  }
  return directory;
}

/** The AdmissionReview of a Deployment's pod, as an API server sends it. */
export function reviewText(): string {
  const container = {
    name: 'app',
    image: 'registry.example.com/team/app:1.27.3',
    ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
    resources: { limits: { cpu: '1', memory: '512Mi' }, requests: { cpu: '100m', memory: '128Mi' } },
    readinessProbe: { httpGet: { path: '/readyz', port: 'http', scheme: 'HTTP' }, periodSeconds: 10 },
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: 'IfNotPresent',
    env: [] as object[],
  };
  const pod = {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      generateName: 'app-0-6d8f9c7b5d-',
      namespace: 'team-0',
      labels: { app: 'app-0', 'pod-template-hash': '6d8f9c7b5d', team: 'zero' },
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'app-0-6d8f9c7b5d', uid: 'c1' }],
    },
    spec: {
      containers: [container, { ...container, name: 'sidecar', image: 'envoyproxy/envoy:v1.31', env: [] }],
      restartPolicy: 'Always',
      serviceAccountName: 'default',
      securityContext: {},
      schedulerName: 'default-scheduler',
    },
    status: {},
  };
  const version = { group: '', version: 'v1' };
  const text = (): string =>
    JSON.stringify({
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      request: {
        uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
        kind: { ...version, kind: 'Pod' },
        resource: { ...version, resource: 'pods' },
        requestKind: { ...version, kind: 'Pod' },
        requestResource: { ...version, resource: 'pods' },
        namespace: 'team-0',
        operation: 'CREATE',
        userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller', groups: [] },
        object: pod,
        oldObject: null,
        dryRun: false,
        options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
      },
    });
  for (let index = 0; text().length < bytesWanted; index++) {
    container.env.push({ name: `SETTING_${index}`, value: `value-${index}-of-the-application` });
  }
  return text();
}
