/**
 * Policies from a directory of YAML files, and the generations that come of its changes.
 *
 *   readPolicyFiles -> readSettled -> readPolicy of each -> compile -> index -> publish
 *
 * A generation is built whole and published by one assignment; whoever took the one before finishes with it.
 * A state of the directory with a fault, or one that cannot be read, never replaces a good generation.
 */

import { setTimeout } from 'node:timers/promises';
import { GateError } from '../errors.ts';
import { reportFailure } from '../failures.ts';
import { log } from '../log.ts';
import { type CompiledPolicy, compile } from '../policy/compile.ts';
import { indexInSteps, type PolicyIndex } from '../policy/policyIndex.ts';
import { readPolicy } from '../policy/read.ts';
import type { Policy } from '../policy/types.ts';
import { notifyOfChanges } from './changes.ts';
import { errorsOf, type FileFault, formatFault, idFaults, unreadFault } from './faults.ts';
import {
  type PolicyFile,
  type PolicyFileReader,
  policyFileReader,
  readPolicyFiles,
  saySame,
} from './files.ts';
import { pacer, runInSlices } from './slices.ts';

export interface LoadOptions {
  /** `strict` is what the guide says, `lenient` what Elastic's editor accepts (default: strict). */
  readonly mode?: 'strict' | 'lenient';
  /** The cluster's name; without it a policy that asks for one gets a warning. */
  readonly clusterName?: string;
}

export interface LoadedPolicies {
  /** Those without a fault of severity error, sorted by file name. ID = file name without extension. */
  readonly policies: readonly { readonly id: string; readonly policy: Policy }[];
  /** Every fault of every file, warnings as well. */
  readonly faults: readonly FileFault[];
  readonly files: readonly PolicyFile[];
}

/** All policies of one moment. `number` starts at 1 and grows by one with each that is published. */
export interface Generation {
  readonly number: number;
  readonly policies: readonly CompiledPolicy[];
  /** Of these policies; what is bound to pods goes through it. */
  readonly index: PolicyIndex;
}

export interface WatchOptions extends LoadOptions {
  /** How long the directory must stay unchanged before it is taken (default: 100 milliseconds). */
  readonly settleMs?: number;
  /** How often the contents are compared without any notice of a change (default: 10 seconds). */
  readonly recheckMs?: number;
  readonly onGeneration?: (generation: Generation) => void;
  /** `faults` is empty when the directory could not be read; then `error` says why. */
  readonly onRefused?: (faults: readonly FileFault[], error?: unknown) => void;
}

export interface WatchedDirectory {
  current(): Generation;
  /** Looks at the directory now; resolves when its state has been published or refused. Never rejects. */
  refresh(): Promise<void>;
  /** Stops watching; the current generation stays usable. Twice is fine. */
  close(): void;
}

/**
 * What the directory, or the one file, at `path` holds.
 * @throws FILE_UNREADABLE
 */
export async function loadDirectory(path: string, options: LoadOptions = {}): Promise<LoadedPolicies> {
  return policyReader(options)(await readPolicyFiles(path));
}

/**
 * Loads the directory and follows its changes: edits in place, renames, the `..data` swap of a mounted
 * ConfigMap, the directory removed and made again. Contents that stay the same make no generation; the end of a
 * bad state always does, so that whoever was told of the one learns of the other.
 * @throws FILE_UNREADABLE
 * @throws POLICIES_INVALID when the first state has a fault; every fault is in the log by then
 */
export async function watchDirectory(path: string, options: WatchOptions = {}): Promise<WatchedDirectory> {
  const { settleMs = 100, recheckMs = 10_000 } = options;
  const readFiles = policyFileReader();
  const read = policyReader(options);
  const first = await read(await readFiles(path));
  const logFaults = faultLog();
  const errors = await logFaults(first.faults);
  if (errors.length > 0) throw new GateError('POLICIES_INVALID', summaryOf(path, errors));
  const compileAll = policyCompiler();
  let generation = await generationOf(1, await compileAll(first.policies));
  /** What was last looked at, good or bad, or why it could not be: nothing is reported twice. */
  let seen: Seen = first.files;

  const refuse = (faults: readonly FileFault[], error?: unknown): void => {
    const reasons = error instanceof Error ? [error.message] : faults.map(formatFault);
    reportFailure('policy_reload_refused', { generation: generation.number, reasons });
    options.onRefused?.(faults, error);
  };
  const check = async (): Promise<void> => {
    try {
      const files = await readSettled(() => readFiles(path), seen, settleMs);
      if (files === null) return;
      seen = files;
      const loaded = await read(files);
      const errors = await logFaults(loaded.faults);
      if (errors.length > 0) return refuse(errors);
      const policies = await compileAll(loaded.policies);
      generation = await generationOf(generation.number + 1, policies, generation.index);
      log.info({ generation: generation.number, policies: generation.policies.length }, 'policies published');
      options.onGeneration?.(generation);
    } catch (error) {
      if (seen !== String(error)) refuse([], error);
      seen = String(error);
    }
  };
  const changes = notifyOfChanges(path, recheckMs, check);
  return { current: () => generation, refresh: changes.checkNow, close: changes.close };
}

/** Files, or the text of an error. */
type Seen = readonly PolicyFile[] | string;

/**
 * The files once two readings `settleMs` apart agree, so that a file half written is not taken for a shorter
 * policy; `null` when they are as `seen`.
 */
async function readSettled(
  readFiles: () => ReturnType<PolicyFileReader>,
  seen: Seen,
  settleMs: number,
): Promise<readonly PolicyFile[] | null> {
  const deadline = performance.now() + 20 * settleMs;
  for (let before = seen; ; await setTimeout(settleMs)) {
    const files = await readFiles();
    if (typeof seen !== 'string' && saySame(files, seen)) return null;
    const isStill = typeof before !== 'string' && saySame(files, before);
    if (isStill || performance.now() > deadline) return files;
    before = files;
  }
}

type Reading = ReturnType<typeof readPolicy>;

/** Reads files into policies. A text that the same reader met in its last turn is not read again. */
function policyReader(options: LoadOptions): (files: readonly PolicyFile[]) => Promise<LoadedPolicies> {
  const settings = { mode: options.mode ?? 'strict', clusterName: options.clusterName } as const;
  let known = new Map<string, Reading>();
  return async (files) => {
    const readings = new Map<string, Reading>();
    const policies: { id: string; policy: Policy }[] = [];
    const faults: FileFault[] = idFaults(files);
    const pause = pacer();
    for (const source of files) {
      const { file, id, text } = source;
      if (text === null) {
        faults.push(unreadFault(file, source.reason));
        continue;
      }
      const reading = known.get(text) ?? readPolicy(text, settings);
      readings.set(text, reading);
      faults.push(...reading.faults.map((fault) => ({ file, fault })));
      if (reading.policy !== undefined) policies.push({ id, policy: reading.policy });
      // Ten thousand policies take seconds to read.
      await pause();
    }
    known = readings;
    return { policies, faults, files };
  };
}

/** Compiles policies. One that was in the last turn as well is the same object again: by that the index knows it. */
function policyCompiler(): (policies: LoadedPolicies['policies']) => Promise<CompiledPolicy[]> {
  let known = new Map<string, { policy: Policy; compiled: CompiledPolicy }>();
  return async (policies) => {
    const pause = pacer();
    const next: typeof known = new Map();
    for (const { id, policy } of policies) {
      const before = known.get(id);
      next.set(id, before?.policy === policy ? before : { policy, compiled: compile(id, policy) });
      await pause();
    }
    known = next;
    return [...known.values()].map(({ compiled }) => compiled);
  };
}

async function generationOf(
  number: number,
  policies: readonly CompiledPolicy[],
  previous?: PolicyIndex,
): Promise<Generation> {
  return { number, policies, index: await runInSlices(indexInSteps(policies, previous)) };
}

/** Logs the faults that the state before had not, and gives those that are errors: one edit among ten thousand files is one line. */
function faultLog(): (faults: readonly FileFault[]) => Promise<FileFault[]> {
  let logged: ReadonlySet<string> = new Set();
  return async (faults) => {
    const pause = pacer();
    const lines = new Set<string>();
    for (const each of faults) {
      const line = formatFault(each);
      if (!logged.has(line)) log.warn({ code: each.fault.code }, line);
      lines.add(line);
      await pause();
    }
    logged = lines;
    return errorsOf(faults);
  };
}

function summaryOf(path: string, errors: readonly FileFault[]): string {
  const [first] = errors;
  const rest = errors.length > 1 ? `, and ${errors.length - 1} more` : '';
  return `policies in \`${path}\` have faults: ${first === undefined ? '' : formatFault(first)}${rest}`;
}
