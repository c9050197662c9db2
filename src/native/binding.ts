/**
 * Loads the addon: the only file that does. It decides by a table without a kernel, so that tests can hold the table
 * against the reference; the gate is the keeper's (`gate.ts`). Of an agent it gives memory back.
 */

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, errorCodes, GateError } from '../errors.ts';
import type { MountKind, PolicyEvent } from '../policy/types.ts';
import type { DecisionTable } from './contract.ts';
import { operationBits } from './operationBits.ts';

/** @throws GATE_TABLE_INVALID, GATE_NOT_BUILT */
export function openTable(bytes: Uint8Array): DecisionTable {
  const table = coded(() => new (load().Table)(bytes));
  const decide = (event: PolicyEvent): string => {
    if (event.section === 'file') {
      const operations = event.operations.reduce((bits, each) => bits | operationBits[each], 0);
      return table.decide(false, operations, event.path, mountKinds.indexOf(event.mount), 0);
    }
    const interactive = event.interactive === undefined ? 0 : event.interactive ? 2 : 1;
    return table.decide(true, operationBits[event.operation], event.executable, 0, interactive);
  };
  return { decide: (event) => JSON.parse(decide(event)) };
}

/**
 * Gives back to the kernel what the C library keeps of memory that was freed, which is much after a burst of answers and documents.
 * @throws GATE_NOT_BUILT
 */
export function giveMemoryBack(): void {
  load().giveMemoryBack();
}

const mountKinds: readonly MountKind[] = ['root', 'volume', 'volumeFile'];

/** What the addon exports; arguments are positional and checked here. `src/native/binding.cc` says the same. */
interface Addon {
  readonly Table: new (
    bytes: Uint8Array,
  ) => {
    decide(isProcess: boolean, operations: number, path: string, mount: number, interactive: number): string;
  };
  giveMemoryBack(): void;
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
