/**
 * The policies bound to one container as the bytes from which C++ makes its decision table (`src/native/table.h`),
 * with the same meaning as `decide`.
 *
 * All numbers are little-endian; a text is its length in UTF-8 bytes (2 bytes) and those bytes:
 *
 *     table     magic "D4CT" (4), version (2), mode (1): 0 observes, 1 enforces; number of policies (2), policies
 *     policy    section of files, section of processes
 *     section   number of selectors (1), number of responses (1), selectors, responses
 *     selector  flags (1), operations (1)
 *               with paths: number (4), patterns; with names: number (4), texts
 *     pattern   number of components (4); each: number of pieces (4), texts
 *               no piece is `**`, one is literal text, more are the text between stars
 *     response  match (8), exclude (8), actions (1): masks, bit n is selector n
 */

import type { GateMode } from '../native/contract.ts';
import { everyFileOperation, everyProcessOperation, operationBits } from '../native/operationBits.ts';
import { type GlobComponent, parseGlob } from '../policy/glob.ts';
import type {
  Action,
  BoundPolicy,
  BoundSection,
  FileSelector,
  ProcessSelector,
  Truth,
  Verdict,
} from '../policy/types.ts';
import { ByteWriter } from './byteWriter.ts';

const version = 2;

const actionBits: Record<Action, number> = { log: 1, alert: 2, block: 4 };

const flags = {
  asMatch: 1,
  asExclude: 2,
  hasPaths: 4,
  hasNames: 8,
  ignoreVolumeMounts: 16,
  ignoreVolumeFiles: 32,
  notInteractive: 64,
  onlyInteractive: 128,
};

/** What remains of a selector, whichever section it is of. */
interface FlatSelector {
  readonly flags: number;
  readonly operations: number;
  readonly paths: readonly string[] | undefined;
  readonly names: readonly string[] | undefined;
}

/**
 * The table of these policies. A selector whose workload is still unknown counts as `decide` has it: with
 * `onUnknown` `allow` as matching in an `exclude` only, with `deny` in a `match` only.
 * With the mode `observe` a gate reports what the table denies, and allows it.
 */
export function flatten(
  policies: readonly BoundPolicy[],
  onUnknown: Verdict,
  mode: GateMode = 'enforce',
): Uint8Array {
  const writer = new ByteWriter();
  writer.bytes(new TextEncoder().encode('D4CT'));
  writer.number(version, 2);
  writer.number(mode === 'enforce' ? 1 : 0, 1);
  writer.number(policies.length, 2);
  for (const { file, process } of policies) {
    writeSection(writer, file, (selector) => flattenFile(selector));
    writeSection(writer, process, (selector) => flattenProcess(selector));
  }
  return writer.done();

  function writeSection<S>(
    to: ByteWriter,
    { selectors, responses }: BoundSection<S>,
    flattenSelector: (selector: S) => FlatSelector,
  ): void {
    to.number(selectors.length, 1);
    to.number(responses.length, 1);
    for (const { selector, workload } of selectors) {
      writeSelector(to, flattenSelector(selector), roles(workload, onUnknown));
    }
    for (const { match, exclude, actions } of responses) {
      to.mask(match);
      to.mask(exclude);
      to.number(
        actions.reduce((bits, action) => bits | actionBits[action], 0),
        1,
      );
    }
  }
}

function roles(workload: Truth, onUnknown: Verdict): number {
  if (workload === 'unknown') return onUnknown === 'deny' ? flags.asMatch : flags.asExclude;
  return workload === 'yes' ? flags.asMatch | flags.asExclude : 0;
}

function flattenFile(selector: FileSelector): FlatSelector {
  const { operation, targetFilePath, ignoreVolumeMounts, ignoreVolumeFiles } = selector;
  return {
    flags:
      (ignoreVolumeMounts === true ? flags.ignoreVolumeMounts : 0) |
      (ignoreVolumeFiles === true ? flags.ignoreVolumeFiles : 0),
    operations: operation?.reduce((bits, each) => bits | operationBits[each], 0) ?? everyFileOperation,
    paths: targetFilePath,
    names: undefined,
  };
}

function flattenProcess(selector: ProcessSelector): FlatSelector {
  const { operation, processExecutable, processName, sessionLeaderInteractive } = selector;
  const interactive = sessionLeaderInteractive === true ? flags.onlyInteractive : flags.notInteractive;
  return {
    flags: sessionLeaderInteractive === undefined ? 0 : interactive,
    operations: operation?.reduce((bits, each) => bits | operationBits[each], 0) ?? everyProcessOperation,
    paths: processExecutable,
    names: processName,
  };
}

function writeSelector(to: ByteWriter, { paths, names, ...rest }: FlatSelector, role: number): void {
  const present = (paths === undefined ? 0 : flags.hasPaths) | (names === undefined ? 0 : flags.hasNames);
  to.number(rest.flags | role | present, 1);
  to.number(rest.operations, 1);
  if (paths !== undefined) to.list(paths, (path) => writePattern(to, path));
  if (names !== undefined) to.list(names, (name) => to.text(name));
}

function writePattern(to: ByteWriter, pattern: string): void {
  to.list(parseGlob(pattern), (component) => to.list(piecesOf(component), (piece) => to.text(piece)));
}

function piecesOf(component: GlobComponent): readonly string[] {
  switch (component.kind) {
    case 'deep':
      return [];
    case 'text':
      return [component.text];
    case 'stars':
      return component.pieces;
  }
}
