/** Reads the event that `explain --event` asks about. */

import { GateError } from '../errors.ts';
import {
  type FileOperation,
  fileOperations,
  type MountKind,
  type PolicyEvent,
  type ProcessOperation,
  processOperations,
} from '../policy/types.ts';

/** The two forms, for `--help`. */
export const eventHelp = `The event is YAML in one of two forms:
  operation: createExecutable    # or a list; also modifyExecutable, createFile, modifyFile, deleteFile
  path: /tmp/tool                # as seen inside the container, symbolic links resolved
  mount: root                    # root (default), volume (a directory), volumeFile (a file, configMap or secret)

  operation: exec                # or fork
  executable: /usr/bin/bash      # for fork, the executable of the forking process
  interactive: true              # whether the session leader has a terminal; left out: not known`;

const mounts: readonly MountKind[] = ['root', 'volume', 'volumeFile'];
/** The kernel's longest path. */
const maxPathBytes = 4096;

/** The event of a parsed YAML document. `source` names it in messages. @throws USAGE */
export function readEvent(document: unknown, source: string): PolicyEvent {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new GateError('USAGE', `\`${source}\` is not an event: it must be a mapping with \`operation\``);
  }
  const fields = new Map<string, unknown>(Object.entries(document));
  const operation = fields.get('operation');
  return isOneOf(processOperations, operation)
    ? readProcessEvent(operation, fields, source)
    : readFileEvent(operation, fields, source);
}

function readProcessEvent(
  operation: ProcessOperation,
  fields: ReadonlyMap<string, unknown>,
  source: string,
): PolicyEvent {
  refuseOthers(fields, ['operation', 'executable', 'interactive'], source);
  const interactive = fields.get('interactive');
  if (interactive !== undefined && typeof interactive !== 'boolean') {
    throw new GateError('USAGE', `\`interactive\` in \`${source}\` must be true or false, or left out`);
  }
  return { section: 'process', operation, executable: pathIn(fields, 'executable', source), interactive };
}

function readFileEvent(
  operation: unknown,
  fields: ReadonlyMap<string, unknown>,
  source: string,
): PolicyEvent {
  refuseOthers(fields, ['operation', 'path', 'mount'], source);
  const mount = fields.get('mount') ?? 'root';
  if (!isOneOf(mounts, mount)) {
    throw new GateError('USAGE', `\`mount\` in \`${source}\` must be one of ${mounts.join(', ')}`);
  }
  const operations = readOperations(operation, source);
  return { section: 'file', operations, path: pathIn(fields, 'path', source), mount };
}

function readOperations(operation: unknown, source: string): FileOperation[] {
  const list: unknown[] = Array.isArray(operation) ? operation : [operation];
  const known = list.filter((entry) => isOneOf(fileOperations, entry));
  if (known.length > 0 && known.length === list.length) return known;
  throw new GateError(
    'USAGE',
    `\`operation\` in \`${source}\` must be fork, exec, or a list of ${fileOperations.join(', ')}`,
  );
}

function pathIn(fields: ReadonlyMap<string, unknown>, key: string, source: string): string {
  const path = fields.get(key);
  if (typeof path === 'string' && Buffer.byteLength(path) < maxPathBytes && isResolved(path)) return path;
  throw new GateError(
    'USAGE',
    `\`${key}\` in \`${source}\` must be an absolute path without empty, \`.\` or \`..\` components`,
  );
}

function isResolved(path: string): boolean {
  const [root, ...components] = path.split('/');
  return (
    root === '' && components.length > 0 && components.every((component) => !/^\.{0,2}$/.test(component))
  );
}

function refuseOthers(fields: ReadonlyMap<string, unknown>, known: readonly string[], source: string): void {
  const other = [...fields.keys()].find((key) => !known.includes(key));
  if (other === undefined) return;
  throw new GateError(
    'USAGE',
    `\`${other}\` in \`${source}\` is not part of this event: it has ${known.join(', ')}`,
  );
}

function isOneOf<T>(list: readonly T[], value: unknown): value is T {
  return list.includes(value as T);
}
