/** Faults that belong to a file rather than to what it says, and every fault as one line of text. */

import type { SourceFaultCode } from '../errors.ts';
import type { Fault } from '../policy/types.ts';
import type { PolicyFile } from './files.ts';

export interface FileFault {
  readonly file: string;
  readonly fault: Fault;
}

/** IDs are written into a comma-separated annotation and into documents, so they are as plain as Kubernetes names. */
const idForm = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/** One line as compilers write it: `policy.yaml:14:7: error: sentence (CODE)`. */
export function formatFault({ file, fault }: FileFault): string {
  const { line, column, severity, message, code } = fault;
  return `${file}:${line}:${column}: ${severity}: ${message} (${code})`;
}

/** Faults of severity error; a policy with one is not used. */
export function errorsOf(faults: readonly FileFault[]): FileFault[] {
  return faults.filter(({ fault }) => fault.severity === 'error');
}

/** What is wrong with the file names: an ID that two files share, or that cannot be one. */
export function idFaults(files: readonly PolicyFile[]): FileFault[] {
  const faults: FileFault[] = [];
  const owners = new Map<string, string>();
  for (const { file, id } of files) {
    const owner = owners.get(id);
    if (!idForm.test(id)) {
      const message = `the file name makes the policy ID \`${id}\`; use letters, digits, \`-\`, \`_\` and \`.\`, 253 at most`;
      faults.push({ file, fault: fileFault('POLICY_ID_FORM', message) });
    } else if (owner !== undefined) {
      const message = `the policy ID \`${id}\` is already taken by \`${owner}\`; rename one of the two files`;
      faults.push({ file, fault: fileFault('POLICY_ID_DUPLICATE', message) });
    } else {
      owners.set(id, file);
    }
  }
  return faults;
}

/** The fault of a file whose text could not be taken. `reason` completes the sentence. */
export function unreadFault(file: string, reason: string): FileFault {
  return { file, fault: fileFault('POLICY_SYNTAX', `the file is not read: ${reason}`) };
}

function fileFault(code: SourceFaultCode | 'POLICY_SYNTAX', message: string): Fault {
  return { code, severity: 'error', message, line: 1, column: 1, path: '' };
}
