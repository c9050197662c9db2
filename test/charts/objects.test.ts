import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { imageName } from '../../image/name.ts';
import { run as runCommand } from '../../src/cli/program.ts';
import type { Webhook } from '../../src/kubernetes/kinds.ts';
import { mutatingConfiguration, validatingConfiguration } from '../../src/kubernetes/webhooks.ts';
import { defaultKeeperSocket } from '../../src/native/keeperProgram.ts';
import { readPolicy } from '../../src/policy/read.ts';
import {
  chart,
  helmRequirements,
  helms,
  objectOf,
  type Rendered,
  releaseNamespace,
  render,
  valueAt,
} from '../support/helm.ts';

interface Rule {
  readonly apiGroups: string[];
  readonly resources: string[];
  readonly resourceNames?: string[];
  readonly verbs: string[];
}

interface PodSpec {
  readonly hostPID?: boolean;
  readonly containers: {
    readonly args: string[];
    readonly image: string;
    readonly securityContext: Record<string, unknown>;
    readonly volumeMounts: { readonly mountPath: string; readonly readOnly?: boolean }[];
  }[];
  readonly securityContext: Record<string, unknown>;
  readonly volumes?: Record<string, unknown>[];
}

const root = join(import.meta.dirname, '../..');

describe('the chart with its default values', { skip: helmRequirements }, () => {
  let objects: Rendered[] = [];
  before(async () => {
    const [helm] = helms;
    assert.ok(helm !== undefined);
    objects = await render(helm, {});
  });
  const podOf = (kindAndName: string) =>
    valueAt(objectOf(objects, kindAndName), 'spec.template.spec') as PodSpec;

  test('asks the API server for the same webhooks as `serve --install`', () => {
    const service = { name: 'd4c-gate-webhook', namespace: releaseNamespace, port: 443 };
    const controllerUser = `system:serviceaccount:${releaseNamespace}:d4c-gate-webhook`;
    const options = { endpoint: { service }, ownNamespace: releaseNamespace, controllerUser };
    for (const [kind, made] of [
      ['MutatingWebhookConfiguration', mutatingConfiguration(options)],
      ['ValidatingWebhookConfiguration', validatingConfiguration(options)],
    ] as const) {
      const { webhooks } = objectOf(objects, `${kind}/d4c-gate`) as unknown as { webhooks: Webhook[] };
      assert.deepEqual(webhooks, made.webhooks);
    }
  });

  test('lets the webhook read what its hooks look at, in every namespace', () => {
    const rules = objectOf(objects, 'ClusterRole/d4c-gate-webhook').rules as Rule[];
    for (const resource of ['pods', 'namespaces']) {
      const verbs = rules
        .filter(({ resources }) => resources.includes(resource))
        .flatMap((rule) => rule.verbs);
      assert.deepEqual(
        ['get', 'list', 'watch'].filter((verb) => !verbs.includes(verb)),
        [],
        resource,
      );
    }
  });

  test('lets the webhook write no policy, and its Lease only as it does', () => {
    const rulesOf = (role: string, resource: string) =>
      (objectOf(objects, role).rules as Rule[])
        .filter(({ resources }) => resources.includes(resource))
        .map(({ verbs }) => verbs);
    assert.deepEqual(rulesOf('ClusterRole/d4c-gate-webhook', 'containerpolicies'), [['list', 'watch']]);
    assert.deepEqual(rulesOf('Role/d4c-gate-webhook', 'leases'), [['create'], ['get', 'update']]);
  });

  test('asks about no change of a namespace that can never opt in', async () => {
    const [helm] = helms;
    assert.ok(helm !== undefined);
    const rendered = await render(helm, { webhook: { excludedNamespaces: ['kube-public'] } });
    const { webhooks } = objectOf(rendered, 'ValidatingWebhookConfiguration/d4c-gate') as unknown as {
      webhooks: Webhook[];
    };
    const guard = webhooks.find(({ name }) => name === 'guard.d4c-gate.io');
    assert.deepEqual(guard?.namespaceSelector, {
      matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-public'] }],
    });
  });

  test('renders neither certificates nor keys: the controller owns those fields', () => {
    assert.equal(JSON.stringify(objects).includes('caBundle'), false);
    const secret = objectOf(objects, 'Secret/d4c-gate-webhook-tls');
    assert.deepEqual([secret.data, secret.stringData], [undefined, undefined]);
  });

  test('names the image that `npm run image` builds', () => {
    for (const name of [
      'Deployment/d4c-gate-webhook',
      'DaemonSet/d4c-gate-agent',
      'DaemonSet/d4c-gate-keeper',
    ]) {
      assert.deepEqual(
        podOf(name).containers.map(({ image }) => image),
        [imageName()],
      );
    }
  });

  test('grants no wildcard, no verb that deletes but for its own Reports, and no Secret but its own', () => {
    const roles = objects.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole');
    const rules = roles.flatMap((role) =>
      (role.rules as Rule[]).map((rule) => ({ ...rule, role: `${role.kind}/${role.metadata.name}` })),
    );
    const secretRules = rules.filter(({ resources }) => resources.includes('secrets'));
    assert.deepEqual(
      secretRules.map(({ role, resourceNames }) => [role, resourceNames]),
      [['Role/d4c-gate-webhook', ['d4c-gate-webhook-tls']]],
    );
    for (const { role, apiGroups, resources, resourceNames, verbs } of rules) {
      assert.equal([...apiGroups, ...resources, ...verbs].includes('*'), false, role);
      if (resources.join() === 'reports' && resourceNames?.join() === 'd4c-gate') continue;
      assert.deepEqual(
        verbs.filter((verb) =>
          ['delete', 'deletecollection', 'escalate', 'bind', 'impersonate'].includes(verb),
        ),
        [],
        role,
      );
    }
  });

  for (const { component, capabilities, folders } of [
    {
      component: 'keeper',
      capabilities: ['SYS_ADMIN', 'SYS_PTRACE', 'DAC_READ_SEARCH', 'DAC_OVERRIDE', 'FOWNER'],
      folders: { '/host': true, '/run/d4c-gate': false },
    },
    {
      component: 'agent',
      capabilities: ['SYS_PTRACE'],
      folders: { '/host': true, '/run/d4c-gate': true, '/run/health': false },
    },
  ]) {
    test(`gives the ${component} exactly the rights that kernel and container runtime want`, () => {
      const { containers, hostPID, volumes, ...pod } = podOf(`DaemonSet/d4c-gate-${component}`);
      assert.equal(hostPID, true);
      assert.deepEqual(
        volumes?.flatMap(({ hostPath }) => (hostPath === undefined ? [] : [hostPath])),
        [
          { path: '/', type: 'Directory' },
          { path: '/run/d4c-gate', type: 'DirectoryOrCreate' },
        ],
      );
      assert.deepEqual(pod.securityContext, { seccompProfile: { type: 'RuntimeDefault' } });
      const [container] = containers;
      assert.deepEqual(container?.securityContext, {
        runAsUser: 0,
        runAsGroup: 0,
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'], add: capabilities },
      });
      const mounts = container?.volumeMounts.map(({ mountPath, readOnly = false }) => [mountPath, readOnly]);
      assert.deepEqual(Object.fromEntries(mounts ?? []), folders);
    });
  }

  test('never replaces a keeper by itself, and changes nothing of it with another version of the chart', async () => {
    const { spec } = objectOf(objects, 'DaemonSet/d4c-gate-keeper');
    assert.deepEqual(valueAt(spec, 'updateStrategy'), { type: 'OnDelete' });
    const labels = Object.keys(valueAt(spec, 'template.metadata.labels') as object);
    assert.deepEqual(
      labels.sort(),
      ['component', 'instance', 'name'].map((name) => `app.kubernetes.io/${name}`),
    );
  });

  test('lets the agent find the keeper where that listens', () => {
    const [keeper] = podOf('DaemonSet/d4c-gate-keeper').containers;
    const [agent] = podOf('DaemonSet/d4c-gate-agent').containers;
    assert.deepEqual(keeper?.args, ['--socket', defaultKeeperSocket]);
    assert.ok(agent?.args.includes(`--keeper-socket=${defaultKeeperSocket}`));
    assert.ok(agent?.args.includes('--keeper=join'));
  });

  test('opens no port on the host, so that two agents can be on a node during an upgrade', () => {
    for (const component of ['agent', 'keeper']) {
      const text = JSON.stringify(podOf(`DaemonSet/d4c-gate-${component}`));
      assert.equal(/hostPort|containerPort/.test(text), false);
    }
  });

  test('lets the agent read what it binds by, and write nothing but Events', () => {
    const { rules } = objectOf(objects, 'ClusterRole/d4c-gate-agent') as unknown as { rules: Rule[] };
    assert.deepEqual(
      rules.map(({ resources, verbs }) => [...resources, ...verbs].join(' ')),
      ['containerpolicies list watch', 'namespaces list watch', 'pods list watch', 'events create'],
    );
    const roles = objects.filter(({ kind }) => kind === 'Role').map(({ metadata }) => metadata.name);
    assert.deepEqual(roles, ['d4c-gate-webhook']);
  });

  test('asks the agent by programs that the image has', () => {
    const [agent] = podOf('DaemonSet/d4c-gate-agent').containers;
    const file = agent?.args.find((argument) => argument.startsWith('--health-file='))?.split('=')[1];
    for (const [probe, ...flags] of [['readinessProbe'], ['livenessProbe', '--alive']] as const) {
      const command = ['/usr/local/bin/d4c-gate', 'health', file, ...flags];
      assert.deepEqual(valueAt(agent, `${probe}.exec.command`), command);
    }
  });

  const flagsOf = async (subcommand: string) => {
    const written: string[] = [];
    const { write } = process.stdout;
    process.stdout.write = (text: string | Uint8Array) => written.push(String(text)) > 0;
    await runCommand([subcommand, '--help']).finally(() => {
      process.stdout.write = write;
    });
    return new Set(written.join('').match(/--[a-z][a-z-]*/g));
  };
  /** The subcommand and the flags that a component is given when every value is set that adds one. */
  const givenTo = async (component: string) => {
    const [helm] = helms;
    assert.ok(helm !== undefined);
    const sockets = ['/run/containerd/containerd.sock'];
    const optIns = { blockScripts: true, memfdNoexec: true, processEnds: true };
    const full = await render(helm, {
      clusterName: 'blue',
      policies: { defaults: ['default'] },
      agent: { containerdSockets: sockets, ...optIns },
      webhook: { excludedNamespaces: ['infra'] },
    });
    const spec = valueAt(objectOf(full, component), 'spec.template.spec') as PodSpec;
    const [subcommand = '', ...args] = spec.containers[0]?.args ?? [];
    return { subcommand, given: args.map((argument) => argument.split('=')[0] ?? '') };
  };

  for (const component of ['Deployment/d4c-gate-webhook', 'DaemonSet/d4c-gate-agent']) {
    test(`gives ${component} only flags that it knows`, async () => {
      const { subcommand, given } = await givenTo(component);
      const flags = await flagsOf(subcommand);
      assert.ok(given.length > 3);
      assert.deepEqual(
        given.filter((flag) => !flags.has(flag)),
        [],
      );
    });
  }

  test('offers every setting of the agent', async () => {
    const { subcommand, given } = await givenTo('DaemonSet/d4c-gate-agent');
    const flags = await flagsOf(subcommand);
    const notInPods = {
      '--help': 'no setting',
      '--kubeconfig': 'a pod has the cluster that it runs in',
      '--cluster-id': 'it is read from the cluster',
      '--output': 'standard output is what a pod’s documents are collected from',
      '--keep-gate': '`--keeper=join` says it',
    };
    assert.deepEqual(
      [...flags].filter((flag) => !given.includes(flag)).sort(),
      Object.keys(notInPods).sort(),
    );
  });
});

test('the policies of the chart are valid, and values.schema.json offers exactly them', () => {
  const files = globSync('*.yaml', { cwd: join(chart, 'policies') }).sort();
  for (const file of files) {
    const { faults } = readPolicy(readFileSync(join(chart, 'policies', file), 'utf8'), { mode: 'strict' });
    assert.deepEqual(
      faults.filter(({ severity }) => severity === 'error'),
      [],
      file,
    );
  }
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8'));
  assert.deepEqual(
    [...(valueAt(schema, 'properties.policies.properties.defaults.items.enum') as string[])].sort(),
    files.map((file) => file.replace('.yaml', '')),
  );
});

test('alerts and dashboard only use metrics that exist', () => {
  const source = globSync('src/**/*.ts', { cwd: root })
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n');
  for (const file of ['alerts.yaml', 'dashboard.json']) {
    const text = readFileSync(join(chart, 'files', file), 'utf8');
    const used = new Set(text.match(/\bd4c_gate_[a-z_]+/g));
    const missing = [...used].filter((name) => !source.includes(name.replace(/_(bucket|sum|count)$/, '')));
    assert.deepEqual(missing, [], file);
  }
});
