/** The first words between an agent and a keeper. */

import { type ErrorCode, errorCodes, GateError } from '../errors.ts';
import type { GateOptions } from './contract.ts';

/**
 * What an agent and its keeper must have in common: the frames by which they speak, and the form of the tables. The keeper's is
 * in `hello.h`.
 */
export const speech = '2.2';

/** The agent's greeting (`hello.h`). */
export function greetingOf(options: GateOptions): Buffer {
  const { neverMark = [], spareNamespaces = [], ...settings } = options;
  const texts = Object.entries(settings)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
    .map(([name, value]) => `${name}=${value}\0`);
  const lists = [
    ...neverMark.map((path) => `neverMark=${path}\0`),
    ...spareNamespaces.map((name) => `spareNamespace=${name}\0`),
  ];
  return Buffer.from([...texts, ...lists, `speech=${speech}\0`].join(''));
}

/** What a keeper that refuses says. */
export function refusalOf({ code, message }: { code: string; message: string }): GateError {
  if (code === 'KEEPER_VERSION') return otherVersion(message);
  return new GateError(code in errorCodes ? (code as ErrorCode) : 'KEEPER_FAILED', message);
}

/** A keeper that would misread what this agent says, or the other way round. */
export function otherVersion(message: string): GateError {
  return new GateError(
    'KEEPER_VERSION',
    `${message}: they are of versions that do not go together; replace the older of the two, the keeper while the node is drained`,
  );
}

/** What a keeper that could not start has said last. */
export function lastLine(said: string): string {
  const line = said.trim().split('\n').at(-1) ?? '';
  try {
    const { level, msg } = JSON.parse(line);
    return level >= 50 ? String(msg) : '';
  } catch {
    return line;
  }
}
