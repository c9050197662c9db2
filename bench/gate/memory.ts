/** What the agent and the keeper keep in memory. */

import { chmod, cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createRecord } from '../../test/support/containerdRecords.ts';
import { type Container, type ContainerHost, requirements } from '../../test/support/containers.ts';
import { must } from '../../test/support/programs.ts';
import { startGate } from '../d4c-gate.ts';
import { severalPolicies } from './policies.ts';
import { type FigureRow, rounded } from './rows.ts';

const containerCount = 100;
const policyCount = 10;
const atOnce = 4;
const root = join(import.meta.dirname, '../..');

/** The package as it is published: Node that strips types from TypeScript takes 35 MiB more. Gives the path of its program. */
async function published(folder: string): Promise<string> {
  const home = join(folder, 'package');
  await mkdir(join(home, 'build'), { recursive: true });
  await must('tsc', ['-p', join(root, 'tsconfig.build.json'), '--outDir', join(home, 'dist')], {
    limitMs: 120_000,
  });
  await cp(join(root, 'package.json'), join(home, 'package.json'));
  await symlink(join(root, 'node_modules'), join(home, 'node_modules'));
  await symlink(join(root, 'build/Release'), join(home, 'build/Release'));
  const program = join(home, 'dist/main.js');
  await chmod(program, 0o755);
  return program;
}

async function residentMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return rounded(Number(/VmRSS:\s*(\d+)/.exec(status)?.[1]) / 1024);
}

interface Beside {
  /** Ends the row's name. */
  readonly title: string;
  /** containerd's sockets, as the agent is told of them. */
  readonly sockets: readonly string[];
  /** Before a container starts: makes its ID known to the containerd that is asked for it. */
  prepare(id: string): Promise<unknown>;
}

/** 100 containers under 10 policies, after each has executed and written a little: without a containerd, and beside one that knows them. */
export async function memory(host: ContainerHost, folder: string): Promise<FigureRow[]> {
  const program = await published(folder);
  const rows = await measure(host, folder, program, {
    title: '',
    // Else one of the machine's own would be asked.
    sockets: [join(folder, 'no-containerd.sock')],
    prepare: () => Promise.resolve(),
  });
  const missing = requirements('containerd');
  if (missing !== undefined) {
    process.stderr.write(`skipped: memory beside containerd: ${missing}\n`);
    return rows;
  }
  const socket = await host.openContainerd();
  const beside = await measure(host, folder, program, {
    title: ' beside containerd',
    sockets: [socket],
    prepare: (id) => keepAsKubelet(socket, id),
  });
  return [...rows, ...beside];
}

/** Has containerd keep what the kubelet does: a pod's sandbox, and the container with a specification of the usual size. */
async function keepAsKubelet(socket: string, id: string): Promise<void> {
  const pod = {
    'io.kubernetes.cri.sandbox-id': `${id}-sandbox`,
    'io.kubernetes.cri.sandbox-name': `web-${id}`,
    'io.kubernetes.cri.sandbox-namespace': 'shop',
  };
  const labels = { app: 'web', 'io.kubernetes.pod.name': `web-${id}` };
  await createRecord(socket, {
    id: `${id}-sandbox`,
    image: 'registry.example/pause:3',
    labels,
    annotations: { ...pod, 'io.kubernetes.cri.container-type': 'sandbox' },
    sandbox: { Version: 'v1', Metadata: { IP: '10.1.2.3', Config: { labels, annotations: {} } } },
  });
  await createRecord(socket, {
    id,
    image: 'registry.example/shop/web:1.0',
    labels,
    annotations: {
      ...pod,
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.container-name': 'web',
      'io.kubernetes.cri.image-name': 'registry.example/shop/web:1.0',
      'of-the-specification': 'x'.repeat(8_000),
    },
  });
}

async function measure(
  host: ContainerHost,
  folder: string,
  program: string,
  { title, sockets, prepare }: Beside,
): Promise<FigureRow[]> {
  const flags = ['--containerd-socket', ...sockets];
  const gate = await startGate(folder, severalPolicies(policyCount), [], [program], flags);
  const containers: Container[] = [];
  const inTurn = async (work: (index: number) => Promise<unknown>) => {
    for (let from = 0; from < containerCount; from += atOnce) {
      await Promise.all(Array.from({ length: atOnce }, (_, index) => work(from + index)));
    }
  };
  try {
    await inTurn(async (index) => {
      const id = host.nextId();
      await prepare(id);
      containers[index] = await host.startRunc({ id });
    });
    await inTurn(async (index) => {
      const line = 'for i in 1 2 3 4 5; do /bin/true; done; echo x > /etc/written';
      const { exitCode, stderr } = (await containers[index]?.sh(line)) ?? {};
      if (exitCode !== 0) throw new Error(`a container's work ended with ${exitCode}: ${stderr}`);
    });
    const children = await readFile(`/proc/${gate.pid}/task/${gate.pid}/children`, 'utf8');
    const row = async (what: string, pid: number, goal: string): Promise<FigureRow> => ({
      case: `memory with ${containerCount} containers and ${policyCount} policies${title}, ${what}`,
      gate: 'd4c-gate',
      value: await residentMiB(pid),
      unit: 'MiB',
      goal,
    });
    return [
      await row('agent', gate.pid, '<= 80'),
      await row('keeper', Number(children.trim().split(' ')[0]), '<= 4'),
    ];
  } finally {
    await Promise.all(containers.map(({ remove }) => remove()));
    await gate.stop();
  }
}
