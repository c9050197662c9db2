/** Containers whose image has `/bin/opener`, which opens files in every way (`opener.c`). */

import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Container, type ContainerHost, containerHost, requirements } from './containers.ts';
import type { GateSetUp } from './gateProcess.ts';
import { keeperIn, type TestKeeper } from './keeper.ts';
import { containerPrefix } from './leftovers.ts';
import { isInstalled, must } from './programs.ts';
import { fileTable, type TestGate, testGate } from './testGate.ts';

/** Why a gate cannot be tested here, or `undefined`. */
export function gateRequirements(): string | undefined {
  const missing = requirements('runc');
  if (missing !== undefined) return missing;
  return isInstalled('gcc') && isInstalled('timeout') ? undefined : 'needs gcc, timeout';
}

/** Compiles the source to a static program in `/bin` of the host's image. */
export async function putProgram(host: ContainerHost, name: string, source: string): Promise<void> {
  const target = join(host.folder, 'image/bin', name);
  await must('gcc', ['-O1', '-Wall', '-static', '-pthread', '-o', target, source], { limitMs: 60_000 });
}

export async function gateHost(): Promise<ContainerHost> {
  const host = await containerHost();
  try {
    await putProgram(host, 'opener', join(import.meta.dirname, 'opener.c'));
  } catch (error) {
    await host.close();
    throw error;
  }
  return host;
}

/** Such a host, and a keeper that outlives the agents of the test. Both end with it. */
export async function hostWithKeeper(t: TestContext): Promise<{ host: ContainerHost; keeper: TestKeeper }> {
  const host = await gateHost();
  const keeper = keeperIn(host.folder);
  t.after(async () => {
    await keeper.end();
    await host.close();
  });
  return { host, keeper };
}

export interface Gated {
  readonly gate: TestGate;
  readonly containers: Container[];
}

/** So many containers of the host, each with a group of its own unless the options say otherwise, whose every open is judged. */
export async function gatedContainers(
  t: TestContext,
  host: ContainerHost,
  { count, name, options }: { count: number; name: string; options?: GateSetUp['options'] },
): Promise<Gated> {
  const ids = Array.from({ length: count }, (_, at) => `${containerPrefix}${process.pid}-${name}-${at}`);
  const table = fileTable(['modifyFile'], ['/etc/passwd'], ['alert', 'block']);
  const tables = Object.fromEntries(ids.map((id) => [id, table]));
  const gate = await testGate({ tables, ...(options && { options }) });
  t.after(gate.close);
  const containers: Container[] = [];
  for (const id of ids) {
    const container = await host.startRunc({ id });
    t.after(container.remove);
    containers.push(container);
  }
  return { gate, containers };
}

/** What `opener` printed. */
export async function opener(container: Container, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await container.exec('/bin/opener', ...args);
  if (exitCode !== 0) throw new Error(`opener ${args.join(' ')} ended with ${exitCode}: ${stderr}`);
  return stdout.trim();
}
