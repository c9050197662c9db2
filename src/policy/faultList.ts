/** Collects faults: severity by mode, a bound on their number, and their order. */

import { type FaultCode, faultCodes } from '../errors.ts';
import type { Place } from './tree.ts';
import type { Fault, Severity } from './types.ts';

export type Mode = 'strict' | 'lenient';

/** What is said of one place; the rest follows from the code and the mode. */
export interface Finding {
  readonly code: FaultCode;
  readonly at: Place;
  /** Like `file.responses[0].actions`; empty for the document itself. */
  readonly path: string;
  readonly message: string;
  readonly suggestion?: string | undefined;
  /** Where it differs from what `faultCodes` says of the code and mode. */
  readonly severity?: Severity;
}

/** So many faults are listed; a text of 1 MiB could have a million. The rest is counted in one more. */
export const maxFaults = 1_000;

export class FaultList {
  readonly mode: Mode;
  #listed: Fault[] = [];
  #unlisted = 0;
  #unlistedErrors = 0;
  #errors = 0;

  constructor(mode: Mode) {
    this.mode = mode;
  }

  /** Nobody reads the suggestion of the hundredth fault, and a hostile policy must not cost what they take to find. */
  get isCrowded(): boolean {
    return this.#listed.length >= 100;
  }

  add({ code, at, path, message, suggestion, severity = faultCodes[code][this.mode] }: Finding): void {
    const { line, column } = at;
    this.#push({
      code,
      severity,
      message,
      line,
      column,
      path,
      ...(suggestion !== undefined && { suggestion }),
    });
  }

  addAll(faults: readonly Fault[]): void {
    for (const fault of faults) this.#push(fault);
  }

  #push(fault: Fault): void {
    const isError = fault.severity === 'error';
    if (isError) this.#errors += 1;
    if (this.#listed.length < maxFaults) {
      this.#listed.push(fault);
      return;
    }
    this.#unlisted += 1;
    if (isError) this.#unlistedErrors += 1;
  }

  /** How many faults of severity error were added so far, listed or not. */
  get errors(): number {
    return this.#errors;
  }

  /** By position; what is at one position stays in the order in which it was found. */
  sorted(): Fault[] {
    const faults = this.#listed.toSorted((a, b) => a.line - b.line || a.column - b.column);
    if (this.#unlisted > 0) {
      const { line, column } = faults.at(-1) ?? { line: 1, column: 1 };
      faults.push({
        code: 'POLICY_TOO_MANY',
        severity: this.#unlistedErrors > 0 ? 'error' : 'warning',
        message: `${maxFaults} faults are listed, and ${this.#unlisted} more are not`,
        line,
        column,
        path: '',
      });
    }
    return faults;
  }
}
