/** helm for tests: what is on the PATH, else both versions of the kit beside this repository. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { isInstalled, run } from './programs.ts';

const kit = join(import.meta.dirname, '../../../shared/kube');

/** The chart's folder. */
export const chart = join(import.meta.dirname, '../../charts/d4c-gate');

/** The namespace that tests install into. */
export const releaseNamespace = 'gate-system';

export interface Helm {
  readonly program: string;
  /** For example `v4.3.1`. */
  readonly version: string;
}

/** An object as rendered; only what every object has is known. */
export interface Rendered {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export type Values = Readonly<Record<string, unknown>>;

/** Every helm that can be had here; none of them is built or downloaded for this. */
export const helms: readonly Helm[] = findHelms();

/** Why charts cannot be rendered here, or `undefined` when they can. Give it to `skip`. */
export const helmRequirements = helms.length > 0 ? undefined : 'needs helm on the PATH';

function findHelms(): Helm[] {
  const onPath = ['helm', 'helm3', 'helm4'].filter(isInstalled);
  const programs = onPath.length > 0 ? onPath : helmsOfKit();
  const found = programs.map((program) => {
    const { stdout } = spawnSync(program, ['version', '--template', '{{.Version}}'], { encoding: 'utf8' });
    return { program, version: stdout.trim() };
  });
  return found.filter(
    ({ version }, index) => found.findIndex((other) => other.version === version) === index,
  );
}

function helmsOfKit(): string[] {
  if (!existsSync(join(kit, 'programs'))) return [];
  // `timeout` ends the whole group: where the programs are missing, the kit begins to build them.
  const { stdout } = spawnSync('timeout', ['20', join(kit, 'programs')], { encoding: 'utf8' });
  const folder = stdout.trim();
  return folder === '' ? [] : ['helm3', 'helm4'].map((name) => join(folder, name));
}

/** What `helm template` gives for values laid over the chart's own. Rejects with what helm said. */
export async function render(helm: Helm, values: Values, ...flags: string[]): Promise<Rendered[]> {
  const { exitCode, stdout, stderr } = await template(helm, values, ...flags);
  if (exitCode !== 0) throw new Error(`helm ${helm.version}: ${stderr.trim()}`);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as Rendered | null)
    .filter((object) => object !== null);
}

/** What helm says when it refuses the values. Rejects when it does not. */
export async function refusal(helm: Helm, values: Values, ...flags: string[]): Promise<string> {
  const { exitCode, stderr } = await template(helm, values, ...flags);
  if (exitCode === 0) throw new Error(`helm ${helm.version} accepted ${JSON.stringify(values)}`);
  return stderr;
}

function template(helm: Helm, values: Values, ...flags: string[]) {
  const args = ['template', 'd4c-gate', chart, '--namespace', releaseNamespace, '--values', '-', ...flags];
  const stdin = JSON.stringify(values);
  return run(helm.program, args, { stdin, limitMs: 60_000 });
}

/** The values that have `value` at a path such as `webhook.replicas`. */
export function valuesAt(path: string, value: unknown): Values {
  return path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Values;
}

/** `over` laid over `under`, mapping by mapping, as helm does. */
export function mergeValues(under: Values, over: Values): Values {
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    merged[key] = isMapping(before) && isMapping(value) ? mergeValues(before, value) : value;
  }
  return merged;
}

function isMapping(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The one object of this kind and name. Throws when there is none. */
export function objectOf(objects: readonly Rendered[], kindAndName: string): Rendered {
  const found = objects.find(({ kind, metadata }) => `${kind}/${metadata.name}` === kindAndName);
  if (found === undefined) throw new Error(`no ${kindAndName} is rendered`);
  return found;
}

/** What is at a path such as `spec.template.spec.containers[0].args`; `undefined` when nothing is. */
export function valueAt(object: unknown, path: string): unknown {
  return path
    .split(/\.(?![^[]*\])|(?=\[)/)
    .filter((key) => key !== '')
    .reduce<unknown>((inner, key) => {
      if (typeof inner !== 'object' || inner === null) return undefined;
      const name = key.replace(/^\[|\]$/g, '');
      return (inner as Record<string, unknown>)[name];
    }, object);
}
