/** What the agent and the keeper keep in memory. */

import { chmod, cp, mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Container, ContainerHost } from '../../test/support/containers.ts';
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

/** 100 containers under 10 policies, after each has executed and written a little. */
export async function memory(host: ContainerHost, folder: string): Promise<FigureRow[]> {
  const program = await published(folder);
  const gate = await startGate(folder, severalPolicies(policyCount), [], [program]);
  const containers: Container[] = [];
  const inTurn = async (work: (index: number) => Promise<unknown>) => {
    for (let from = 0; from < containerCount; from += atOnce) {
      await Promise.all(Array.from({ length: atOnce }, (_, index) => work(from + index)));
    }
  };
  try {
    await inTurn(async (index) => {
      containers[index] = await host.startRunc();
    });
    await inTurn(async (index) => {
      const line = 'for i in 1 2 3 4 5; do /bin/true; done; echo x > /etc/written';
      const { exitCode, stderr } = (await containers[index]?.sh(line)) ?? {};
      if (exitCode !== 0) throw new Error(`a container's work ended with ${exitCode}: ${stderr}`);
    });
    const children = await readFile(`/proc/${gate.pid}/task/${gate.pid}/children`, 'utf8');
    const title = `memory with ${containerCount} containers and ${policyCount} policies`;
    const row = async (what: string, pid: number, goal: string): Promise<FigureRow> => ({
      case: `${title}, ${what}`,
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
