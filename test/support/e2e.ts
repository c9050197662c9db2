/**
 * A real node for the end-to-end tests: the cluster that `KUBECONFIG` names, or one of its own (control plane, kubelet,
 * containerd) from the kit beside this repository, if there is one.
 *
 * Owns the node that it started and its folder; `close` gives both back, also when the test process ends without calling
 * it. One machine has room for one such node. Every program has a time limit.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Status } from '../../src/cli/statusText.ts';
import { builtImage, imageRequirements } from './built-image.ts';
import { chart, helms } from './helm.ts';
import { eventually, must, type Ran, type RunOptions, run } from './programs.ts';

const kit = join(import.meta.dirname, '../../../shared/kube');
const given = process.env.KUBECONFIG ?? '';
const containerdSocket = process.env.CONTAINERD_SOCKET ?? '/run/containerd/containerd.sock';

/** What the pods of the tests run: every applet of busybox as a link to one static binary. */
export const podImage = process.env.D4C_GATE_E2E_IMAGE ?? 'd4c.test/busybox:1';

/** Where the release goes. */
export const release = { name: 'd4c-gate', namespace: 'd4c-gate' };

export interface E2e {
  /** Runs kubectl to its end, whatever its exit code is. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** As `kubectl`, for what must succeed; gives its output. */
  ask(...args: string[]): Promise<string>;
  apply(...objects: object[]): Promise<void>;
  helm(...args: string[]): Promise<string>;
  /** A shell line in the pod's first container. */
  sh(namespace: string, pod: string, line: string): Promise<Ran>;
  /** `kubectl exec -it` on a terminal; what it printed is in `stdout`. */
  session(namespace: string, pod: string, ...command: string[]): Promise<Ran>;
  /** Every document that the agents of now have written. */
  documents(): Promise<E2eDocument[]>;
  /** `d4c-gate status`, asked in the component's pod. */
  status(component: 'agent' | 'keeper'): Promise<OpenStatus>;
  /** The name of the first running pod of the namespace with the label `app=NAME`. */
  podOf(namespace: string, app: string): Promise<string>;
  /** Stops the node and starts it again. Only for a node of our own. */
  readonly restart: (() => Promise<void>) | undefined;
  close(): Promise<void>;
}

/** The status of a keeper to which an agent has come. */
export type OpenStatus = Status & Required<Pick<Status, 'gate'>>;

/** The fields of a document that the tests look at. */
export interface E2eDocument {
  readonly message: string;
  readonly event: { readonly kind: string; readonly action: string; readonly type: readonly string[] };
  readonly container: { readonly image?: { readonly name: string } };
  readonly orchestrator?: {
    readonly namespace: string;
    readonly cluster?: { readonly id?: string };
    readonly resource: {
      readonly name: string;
      readonly ip?: readonly string[];
      readonly label: readonly string[];
      readonly parent?: { readonly type: string };
    };
  };
  readonly host: { readonly name: string };
  readonly cloud_defend: { readonly package_policy_id: string };
  readonly d4c_gate: { readonly outcome: string; readonly mode: string };
  readonly process: { readonly executable: string };
  readonly file?: { readonly path: string };
}

/** Why nothing can be tested end to end here, or `undefined` when it can. Give it to `skip`. */
export function e2eRequirements(): string | undefined {
  if (helms.length === 0) return 'needs helm on the PATH';
  if (given !== '') return undefined;
  if (!existsSync(join(kit, 'up'))) return 'needs a cluster: set `KUBECONFIG`';
  return imageRequirements();
}

/** Takes about 20 seconds, and minutes where the image must be built. */
export async function startE2e(): Promise<E2e> {
  const unable = e2eRequirements();
  if (unable !== undefined) throw new Error(unable);
  if (given !== '') return useNode(given, undefined, async () => undefined);

  // The kit builds its programs where they are missing.
  await must(join(kit, 'programs'), [], { limitMs: 900_000 });
  const folder = mkdtempSync(join(tmpdir(), 'd4c-node-'));
  const down = (...flags: string[]) =>
    spawnSync('timeout', ['120', join(kit, 'down'), folder, ...flags], { stdio: 'ignore' });
  const giveBack = () => {
    down('--wipe');
    rmSync(folder, { recursive: true, force: true });
  };
  const ended = () => process.exit(1);
  process.once('exit', giveBack).once('SIGTERM', ended).once('SIGINT', ended);
  const up = () => must(join(kit, 'up'), [folder], { limitMs: 240_000 });
  await up();
  const restart = async (): Promise<void> => {
    down();
    await up();
  };
  return useNode(join(folder, 'kubeconfig'), restart, async () => {
    process.off('exit', giveBack).off('SIGTERM', ended).off('SIGINT', ended);
    giveBack();
  });
}

async function useNode(kubeconfig: string, restart: E2e['restart'], close: E2e['close']): Promise<E2e> {
  // Another cluster's nodes must have the image already, or be able to pull it.
  if (existsSync(containerdSocket)) {
    const importing = ['-a', containerdSocket, '-n', 'k8s.io', 'images', 'import', await builtImage()];
    await must('ctr', importing, { limitMs: 120_000 });
  }
  const { stdout: folder } = existsSync(join(kit, 'programs'))
    ? await must(join(kit, 'programs'), [], { limitMs: 900_000 })
    : { stdout: '' };
  const program = folder.trim() === '' ? 'kubectl' : join(folder.trim(), 'kubectl');
  const [helm] = helms;
  const kubectl: E2e['kubectl'] = (args, options) =>
    run(program, ['--kubeconfig', kubeconfig, '--request-timeout=20s', ...args], {
      limitMs: 30_000,
      ...options,
    });
  const ask: E2e['ask'] = async (...args) => {
    const { exitCode, stdout, stderr } = await kubectl(args);
    if (exitCode !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}`);
    return stdout.trim();
  };
  return {
    kubectl,
    ask,
    async apply(...objects) {
      const stdin = objects.map((object) => JSON.stringify(object)).join('\n');
      const { exitCode, stderr } = await kubectl(['apply', '-f', '-'], { stdin });
      if (exitCode !== 0) throw new Error(`kubectl apply: ${stderr}`);
    },
    async helm(...args) {
      const where = ['--kubeconfig', kubeconfig, '--namespace', release.namespace];
      const { stdout } = await must(helm?.program ?? 'helm', [...args, ...where], { limitMs: 300_000 });
      return stdout;
    },
    sh: (namespace, pod, line) => kubectl(['exec', '-n', namespace, pod, '--', '/bin/sh', '-c', line]),
    session(namespace, pod, ...command) {
      const words = [
        program,
        '--kubeconfig',
        kubeconfig,
        'exec',
        '-it',
        '-n',
        namespace,
        pod,
        '--',
        ...command,
      ];
      const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
      // Its own terminal, of which kubectl wants to be sure.
      return run('script', ['--quiet', '--return', '--command', line, '/dev/null'], { limitMs: 30_000 });
    },
    async documents() {
      const selector = 'app.kubernetes.io/name=d4c-gate,app.kubernetes.io/component=agent';
      // The pod of one that is being replaced may go between the list and its log.
      const isBetween = (stderr: string) => /NotFound|is waiting to start/.test(stderr);
      const { stdout } = await eventually('the log of every agent is read', async () => {
        const read = await kubectl(['logs', '-n', release.namespace, '-l', selector, '--tail=-1']);
        if (read.exitCode !== 0 && !isBetween(read.stderr)) throw new Error(`kubectl logs: ${read.stderr}`);
        return read.exitCode === 0 && read;
      });
      return stdout
        .split('\n')
        .filter((line) => line.includes('"data_stream"') && line.endsWith('}'))
        .map((line) => JSON.parse(line));
    },
    async status(component) {
      const program = ['/usr/local/bin/d4c-gate', 'status', '--output=json'];
      const said = await ask(
        'exec',
        '-n',
        release.namespace,
        `daemonset/d4c-gate-${component}`,
        '--',
        ...program,
      );
      const status: Status = JSON.parse(said);
      if (status.gate === undefined) throw new Error(`the gate is not open: ${said}`);
      return { ...status, gate: status.gate };
    },
    podOf: (namespace, app) =>
      eventually(
        `a pod of ${app} runs`,
        async () => {
          const list = await ask('get', 'pods', '-n', namespace, '-l', `app=${app}`, '-o', 'json');
          const { items } = JSON.parse(list) as { items: RunningPod[] };
          return items.find(isRunning)?.metadata.name;
        },
        60_000,
      ),
    restart,
    close,
  };
}

interface RunningPod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

function isRunning({ metadata, status }: RunningPod): boolean {
  const isReady = status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True');
  return metadata.deletionTimestamp === undefined && isReady === true;
}

/** `helm install` with no value set, as the README says. */
export const installArguments = [
  'install',
  release.name,
  chart,
  '--create-namespace',
  '--wait',
  '--timeout=180s',
];

/** A Deployment of one pod that sleeps, in a namespace. */
export function deployment(namespace: string, name: string, podFields: object = {}): object {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { ...podSpec, ...podFields },
      },
    },
  };
}

/** What a pod needs to sleep until it is told to end. */
export const podSpec = {
  terminationGracePeriodSeconds: 0,
  automountServiceAccountToken: false,
  containers: [
    { name: 'main', image: podImage, imagePullPolicy: 'IfNotPresent', command: ['/bin/sleep', '100000'] },
  ],
};

export const namespaceObject = (name: string, mode?: 'observe' | 'enforce'): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels: mode === undefined ? {} : { 'd4c-gate.io/mode': mode } },
});

/** Refuses to execute what lies in `/tmp`, with more conditions where given. */
export const noProgramsInTmp = (conditions: object = {}): object => ({
  apiVersion: 'd4c-gate.io/v1alpha1',
  kind: 'ContainerPolicy',
  metadata: { name: 'no-programs-in-tmp' },
  spec: {
    process: {
      selectors: [{ name: 'dropped', operation: ['exec'], processExecutable: ['/tmp/**'], ...conditions }],
      responses: [{ match: ['dropped'], actions: ['alert', 'block'] }],
    },
  },
});

/** Copies busybox to `/tmp` and runs the copy, which prints `ran`. */
export const dropAndRun = 'cp /bin/busybox /tmp/busybox-dropped && /tmp/busybox-dropped echo ran';
