/** What an operation is besides its own name. Source: policy-language.md section 4, supersets. */

import type { FileOperation } from './types.ts';

/** Creating an executable is creating a file, modifying an executable is modifying a file; not the reverse. */
const supersets: Partial<Record<FileOperation, FileOperation>> = {
  createExecutable: 'createFile',
  modifyExecutable: 'modifyFile',
};

/** The operations given and those that they also are, each once. */
export function impliedOperations(operations: readonly FileOperation[]): ReadonlySet<FileOperation> {
  const implied = new Set(operations);
  for (const operation of operations) {
    const superset = supersets[operation];
    if (superset !== undefined) implied.add(superset);
  }
  return implied;
}
