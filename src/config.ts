/** Reads what the operator set: environment variables here and nowhere else, and the values of flags. */

import { GateError } from './errors.ts';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** The environment, read once. */
export const environment = Object.freeze({
  /** `D4C_GATE_LOG_LEVEL`: trace, debug, info, warn, error or silent (default: info). */
  logLevel: oneOf('D4C_GATE_LOG_LEVEL', logLevels, 'info'),
  /** `NO_COLOR`: any value that is not empty turns colours off. */
  noColor: (process.env.NO_COLOR ?? '') !== '',
});

function oneOf(name: string, allowed: string[], fallback: string): string {
  const value = process.env[name] ?? '';
  if (value === '') return fallback;
  if (allowed.includes(value)) return value;
  throw new GateError('USAGE', `\`${name}\` is \`${value}\`; it must be one of ${allowed.join(', ')}`);
}

/** Host and port of `HOST:PORT`, `[::1]:PORT` or `:PORT` (every address). @throws USAGE */
export function parseListen(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, Math.max(colon, 0)).replace(/^\[([0-9a-fA-F:.]+)\]$/, '$1');
  const port = Number(text.slice(colon + 1));
  if (colon < 0 || !/^\d{1,5}$/.test(text.slice(colon + 1)) || port > 65_535) {
    throw new GateError('USAGE', `\`--listen ${text}\` is not HOST:PORT, for example 127.0.0.1:8443`);
  }
  return { host: host === '' ? '::' : host, port };
}

/** A whole number within [min, max], for the flag named. @throws USAGE */
export function parseCount(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d{1,15}$/.test(text) && value >= min && value <= max) return value;
  throw new GateError('USAGE', `\`${flag} ${text}\` must be a whole number from ${min} to ${max}`);
}
