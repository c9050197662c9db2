/** `d4c-gate node` as a process of its own, for tests on real containers. */

import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { GateStats } from '../../src/native/gate.ts';
import { readKeeperStatus } from '../../src/native/keeperStatus.ts';
import { eventually } from './programs.ts';
import { lifetimeMs } from './sizes.ts';

const main = join(import.meta.dirname, '../../src/main.ts');

export interface TestAgent {
  readonly pid: number;
  /** Standard output, which has the documents with `--output stdout`. Nobody reads it. */
  readonly stdout: Readable;
  /** Everything that it has logged. */
  log(): string;
  /** Puts a policy file in place, or takes it away. */
  writePolicy(id: string, text: string | null): Promise<void>;
  /** As `writePolicy`, and waits until its generation is published. */
  setPolicy(id: string, text: string | null): Promise<void>;
  /** Every document written so far. */
  documents(): Promise<WrittenDocument[]>;
  /** The keeper's numbers (`d4c-gate status`), when the agent was told where it listens. */
  status(): Promise<Partial<GateStats>>;
  /** Sends the signal and gives the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** The fields of a document that tests look at. */
export interface WrittenDocument {
  readonly message: string;
  readonly event: { kind: string; sequence: number; action: string; type: string[]; dataset: string };
  readonly container: { id: string; image?: { name: string; tag: string[] } };
  readonly cloud_defend: { package_policy_id: string; matched_selectors: string[]; hook_point: string };
  readonly d4c_gate: { outcome: string; mode: string; reason?: string };
  readonly process: {
    executable: string;
    args: string[];
    pid: number;
    entity_id: string;
    exit_code?: number;
    parent?: { executable: string; pid: number };
  };
  readonly file?: { path: string };
}

/** Starts the agent and waits until its gate is open. `policies`: ID to text. */
export async function startAgent(
  folder: string,
  policies: Readonly<Record<string, string>>,
  ...flags: string[]
): Promise<TestAgent> {
  return await startAgentBy([], folder, policies, ...flags);
}

/** As `startAgent`, by a program that is given what to execute, and its first arguments. */
export async function startAgentBy(
  starter: readonly string[],
  folder: string,
  policies: Readonly<Record<string, string>>,
  ...flags: string[]
): Promise<TestAgent> {
  const policyFolder = join(folder, 'policies');
  const output = join(folder, 'documents');
  await mkdir(policyFolder, { recursive: true });
  for (const [id, text] of Object.entries(policies)) await writeFile(join(policyFolder, `${id}.yaml`), text);

  // A keeper that a failed test cannot leave behind; tests of the keeper say another one in `flags`.
  const keeper = flags.includes('--keeper') ? [] : ['--keeper', 'off'];
  const args = ['node', '--policies', policyFolder, '--output', `ndjson:${output}`, ...keeper, ...flags];
  const [program = '', ...rest] = [...starter, process.execPath, main, ...args];
  const agent = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  agent.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  // No failure leaves a listener behind.
  const limit = setTimeout(() => agent.kill('SIGKILL'), lifetimeMs);
  const ended = new Promise<number | null>((resolve) => {
    agent.once('close', (exitCode) => {
      clearTimeout(limit);
      resolve(exitCode);
    });
  });
  await eventually(
    'the gate is open',
    () => {
      if (agent.exitCode !== null) throw new Error(`the agent ended with ${agent.exitCode}: ${log}`);
      return log.includes('"msg":"gate open"');
    },
    20_000,
  ).catch(async (error: unknown) => {
    agent.kill('SIGKILL');
    await ended;
    throw error;
  });

  const generations = () => log.split('"msg":"policies published"').length;
  const writePolicy = async (id: string, text: string | null): Promise<void> => {
    const file = join(policyFolder, `${id}.yaml`);
    if (text === null) return await rename(file, join(folder, `${id}.removed`));
    await writeFile(join(folder, 'new'), text);
    await rename(join(folder, 'new'), file);
  };
  return {
    pid: agent.pid ?? 0,
    stdout: agent.stdout,
    log: () => log,
    writePolicy,
    async setPolicy(id, text) {
      const before = generations();
      await writePolicy(id, text);
      await eventually('the policies are published', () => generations() > before);
    },
    async documents() {
      const files = await readdir(output).catch(() => []);
      const texts = await Promise.all(files.map((file) => readFile(join(output, file), 'utf8')));
      return texts.flatMap((text) =>
        text
          .split('\n')
          .filter((line) => line.endsWith('}'))
          .map((line) => JSON.parse(line)),
      );
    },
    async status() {
      const socket = flags[flags.indexOf('--keeper-socket') + 1] ?? '';
      return (await readKeeperStatus(socket)).stats ?? {};
    },
    stop(signal = 'SIGTERM') {
      agent.kill(signal);
      const hung = setTimeout(() => agent.kill('SIGKILL'), 10_000);
      return ended.finally(() => clearTimeout(hung));
    },
  };
}
