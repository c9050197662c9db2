/** Loads the addon: the only file that does. Checks and defaults are here, the mechanism is in C++. */

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, errorCodes, GateError } from '../errors.ts';
import type { MountKind } from '../policy/types.ts';
import type {
  ContainerKey,
  DecisionTable,
  FirstExec,
  FoundContainer,
  Gate,
  GateFailure,
  GateOptions,
  KernelEvent,
  TableVerdict,
} from './contract.ts';
import { operationBits } from './operationBits.ts';

export type * from './contract.ts';

/**
 * Marks every container root filesystem there is and that appears later, and answers for them until closed.
 * Keeps the process alive until then. Callbacks come on later turns of the event loop.
 * @throws GATE_NOT_PERMITTED, GATE_UNSUPPORTED, GATE_NOT_BUILT
 */
export function openGate(options: GateOptions): Gate {
  const { mode, holdMs, onUnknown, queueEvents = 65_536, maxGroups = 1_000_000, hostRoot = '/' } = options;
  return coded(() => {
    const gate = new (load().Gate)(
      mode === 'enforce',
      holdMs,
      onUnknown === 'deny',
      queueEvents,
      maxGroups,
      hostRoot,
      options.neverMark ?? [],
      (reports) => deliver(reports, options),
    );
    return {
      publish: (key, table, generation) => coded(() => gate.publish(key, table, generation)),
      adopt: (key, pid) => gate.adopt(key, pid),
      stats: () => gate.stats(),
      close: () => gate.close(),
    };
  });
}

/** @throws GATE_TABLE_INVALID, GATE_NOT_BUILT */
export function openTable(bytes: Uint8Array): DecisionTable {
  const table = coded(() => new (load().Table)(bytes));
  return {
    decide(event) {
      if (event.section === 'file') {
        const operations = event.operations.reduce((bits, each) => bits | operationBits[each], 0);
        return table.decide(false, operations, event.path, mountKinds.indexOf(event.mount), 0);
      }
      const interactive = event.interactive === undefined ? 0 : event.interactive ? 2 : 1;
      return table.decide(true, operationBits[event.operation], event.executable, 0, interactive);
    },
  };
}

const mountKinds: readonly MountKind[] = ['root', 'volume', 'volumeFile'];

/** What the addon exports; arguments are positional and checked here. `src/native/binding.cc` says the same. */
interface Addon {
  readonly Gate: new (
    enforces: boolean,
    holdMs: number,
    deniesUnknown: boolean,
    queueEvents: number,
    maxGroups: number,
    hostRoot: string,
    neverMark: readonly string[],
    deliver: (reports: readonly Report[]) => void,
  ) => Gate;
  readonly Table: new (
    bytes: Uint8Array,
  ) => {
    decide(
      isProcess: boolean,
      operations: number,
      path: string,
      mount: number,
      interactive: number,
    ): TableVerdict;
  };
}

type Report =
  | { readonly type: 'container'; readonly value: FoundContainer }
  | { readonly type: 'firstExec'; readonly value: FirstExec }
  | { readonly type: 'gone'; readonly value: ContainerKey }
  | { readonly type: 'event'; readonly value: KernelEvent }
  | { readonly type: 'failure'; readonly value: { failure: GateFailure; count: number; detail: string } };

/** Hands the reports over in order; events that follow each other together. */
function deliver(reports: readonly Report[], options: GateOptions): void {
  let events: KernelEvent[] = [];
  const flush = (): void => {
    const batch = events;
    events = [];
    if (batch.length > 0) options.onEvents(batch);
  };
  for (const report of reports) {
    if (report.type !== 'event') flush();
    switch (report.type) {
      case 'container':
        options.onContainer(report.value);
        break;
      case 'firstExec':
        options.onFirstExec(report.value);
        break;
      case 'gone':
        options.onContainerGone(report.value);
        break;
      case 'event':
        events.push(report.value);
        break;
      case 'failure':
        options.onFailure(report.value.failure, report.value.count, report.value.detail);
        break;
    }
  }
  flush();
}

let addon: Addon | undefined;

function load(): Addon {
  if (addon !== undefined) return addon;
  const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
  const require = createRequire(import.meta.url);
  try {
    addon = require('node-gyp-build')(root) as Addon;
    return addon;
  } catch (cause) {
    const advice = 'on Linux, `npm run build:native` builds it';
    throw new GateError('GATE_NOT_BUILT', `cannot load the addon; ${advice}`, cause);
  }
}

/** Errors of the addon carry a code and one line of text; here alone they become what callers catch. */
function coded<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (error instanceof GateError || typeof code !== 'string' || !(code in errorCodes)) throw error;
    throw new GateError(code as ErrorCode, (error as Error).message, error);
  }
}
