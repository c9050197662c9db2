/** Containers whose image has `/bin/opener`, which opens files in every way (`opener.c`). */

import { join } from 'node:path';
import { type Container, type ContainerHost, containerHost, requirements } from './containers.ts';
import { isInstalled, must } from './programs.ts';

/** Why a gate cannot be tested here, or `undefined`. */
export function gateRequirements(): string | undefined {
  const missing = requirements('runc');
  if (missing !== undefined) return missing;
  return isInstalled('gcc') && isInstalled('timeout') ? undefined : 'needs gcc, timeout';
}

export async function gateHost(): Promise<ContainerHost> {
  const host = await containerHost();
  try {
    const source = join(import.meta.dirname, 'opener.c');
    const target = join(host.folder, 'image/bin/opener');
    await must('gcc', ['-O1', '-Wall', '-static', '-pthread', '-o', target, source], { limitMs: 60_000 });
  } catch (error) {
    await host.close();
    throw error;
  }
  return host;
}

/** What `opener` printed. */
export async function opener(container: Container, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await container.exec('/bin/opener', ...args);
  if (exitCode !== 0) throw new Error(`opener ${args.join(' ')} ended with ${exitCode}: ${stderr}`);
  return stdout.trim();
}
