/** Reads what the operator set: environment variables here and nowhere else, and the values of flags. */

import { GateError } from './errors.ts';

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** The environment, read once. What is wrong in it is reported by `checkEnvironment`, not while modules load. */
export const environment = Object.freeze({
  /** `D4C_GATE_LOG_LEVEL`: trace, debug, info, warn, error or silent (default: info). */
  logLevel: logLevels.includes(process.env.D4C_GATE_LOG_LEVEL ?? '')
    ? String(process.env.D4C_GATE_LOG_LEVEL)
    : 'info',
  /** `D4C_GATE_KEEPER_PROGRAM`: another keeper than the one that comes with this package, or `undefined`. */
  keeperProgram: process.env.D4C_GATE_KEEPER_PROGRAM || undefined,
  /** `NO_COLOR`: any value that is not empty turns colours off. */
  noColor: (process.env.NO_COLOR ?? '') !== '',
  /** `KUBERNETES_SERVICE_HOST`, which the kubelet sets in every pod. */
  isInCluster: (process.env.KUBERNETES_SERVICE_HOST ?? '') !== '',
  /** `POD_NAME`, which the chart sets, or `undefined`. */
  podName: process.env.POD_NAME || undefined,
  /** `NODE_NAME`, which the chart sets, or `undefined`. */
  nodeName: process.env.NODE_NAME || undefined,
});

/** Refuses environment variables with values that mean nothing. @throws USAGE */
export function checkEnvironment(): void {
  const level = process.env.D4C_GATE_LOG_LEVEL ?? '';
  if (level === '' || logLevels.includes(level)) return;
  throw new GateError('USAGE', `\`D4C_GATE_LOG_LEVEL=${level}\` must be one of ${logLevels.join(', ')}`);
}

/** Host and port of `HOST:PORT`, `[::1]:PORT` or `:PORT` (every address). @throws USAGE */
export function parseListen(text: string): { host: string; port: number } {
  const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]*):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) {
    throw new GateError('USAGE', `\`--listen ${text}\` is not HOST:PORT, for example 127.0.0.1:8443`);
  }
  return { host: host === '' ? '::' : host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** A whole number within [min, max], for the flag named. @throws USAGE */
export function parseCount(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d{1,15}$/.test(text) && value >= min && value <= max) return value;
  throw new GateError('USAGE', `\`${flag} ${text}\` must be a whole number from ${min} to ${max}`);
}

/** The environment for a program that we start, with `added` on top. */
export function childEnvironment(added: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...added };
}
