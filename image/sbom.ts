/**
 * Prints the CycloneDX bill of materials of an image's root filesystem: Node, the npm packages that the lock file
 * names and that are really there, and the Debian packages. The same contents give the same bytes.
 *
 * usage: node image/sbom.ts ROOT, in the folder of package-lock.json
 */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

interface Component {
  readonly type: 'application' | 'library' | 'platform';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly [property: string]: unknown;
}

/** The bill of materials of `root`, as an object to be written as JSON. */
export function billOfMaterials(
  root: string,
  lockFile: string,
  nodeVersion: string,
): Record<string, unknown> {
  const lock: { packages: Record<string, LockedPackage> } = JSON.parse(readFileSync(lockFile, 'utf8'));
  const own = lock.packages[''];
  if (own === undefined) throw new Error(`\`${lockFile}\` has no root package`);
  const app = join(root, 'opt/d4c-gate');
  const installed = Object.entries(lock.packages).filter(
    ([path]) => path !== '' && existsSync(join(app, path, 'package.json')),
  );
  const paths = new Map(installed.map(([path, locked]) => [path, npmComponent(path, locked)]));
  const node: Component = {
    type: 'platform',
    'bom-ref': `pkg:generic/node@${nodeVersion}`,
    name: 'node',
    version: nodeVersion,
    purl: `pkg:generic/node@${nodeVersion}`,
    cpe: `cpe:2.3:a:nodejs:node.js:${nodeVersion}:*:*:*:*:*:*:*`,
  };
  const debian = debianComponents(join(root, 'var/lib/dpkg/status.d'));
  const self: Component = {
    type: 'application',
    'bom-ref': `pkg:npm/d4c-gate@${own.version}`,
    name: 'd4c-gate',
    version: own.version,
    purl: `pkg:npm/d4c-gate@${own.version}`,
    licenses: [{ license: { id: 'Apache-2.0' } }],
  };
  const needs = (path: string, locked: LockedPackage) =>
    Object.keys({ ...locked.dependencies, ...locked.optionalDependencies })
      .map((name) => paths.get(resolve(path, name, paths))?.['bom-ref'])
      .filter((ref) => ref !== undefined);
  const edges = new Map<string, string[]>([
    [self['bom-ref'], [...needs('', own), node['bom-ref']]],
    [node['bom-ref'], debian.map((component) => component['bom-ref'])],
  ]);
  for (const [path, locked] of installed) {
    const ref = String(paths.get(path)?.['bom-ref']);
    edges.set(ref, [...(edges.get(ref) ?? []), ...needs(path, locked)]);
  }
  const byRef = new Map([...paths.values(), node, ...debian].map((each) => [each['bom-ref'], each]));
  const content = {
    metadata: { component: self },
    components: [...byRef.keys()].sort().map((ref) => byRef.get(ref)),
    dependencies: [...edges.keys()]
      .sort()
      .map((ref) => ({ ref, dependsOn: [...new Set(edges.get(ref))].sort() })),
  };
  const hex = createHash('sha256').update(JSON.stringify(content)).digest('hex');
  const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    serialNumber: `urn:uuid:${uuid}`,
    version: 1,
    ...content,
  };
}

function npmComponent(path: string, locked: LockedPackage): Component {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const purl = `pkg:npm/${name.replace(/^@/, '%40')}@${locked.version}`;
  const [algorithm, digest] = (locked.integrity ?? '').split('-', 2);
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version: locked.version,
    purl,
    ...(locked.license === undefined ? {} : { licenses: licenses(locked.license) }),
    ...(algorithm === 'sha512' && digest !== undefined
      ? { hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }] }
      : {}),
  };
}

function licenses(text: string): unknown[] {
  return /[ ()]/.test(text) ? [{ expression: text }] : [{ license: { id: text } }];
}

/** The lock file's path of the package that `name` means for the package at `path`: the nearest one upwards. */
function resolve(path: string, name: string, paths: ReadonlyMap<string, unknown>): string {
  for (let from = path; from !== ''; ) {
    const nested = `${from}/node_modules/${name}`;
    if (paths.has(nested)) return nested;
    const up = from.lastIndexOf('/node_modules/');
    from = up < 0 ? '' : from.slice(0, up);
  }
  return `node_modules/${name}`;
}

function debianComponents(folder: string): Component[] {
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const record = readFileSync(join(folder, file), 'utf8');
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(record)?.[1] ?? '';
      const [name, version] = [field('Package'), field('Version')];
      const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${field('Architecture')}&distro=debian-12`;
      return {
        type: 'library',
        'bom-ref': purl,
        name,
        version,
        purl,
        supplier: { name: 'Debian' },
      };
    });
}

if (import.meta.main) {
  const [root] = process.argv.slice(2);
  if (root === undefined) throw new Error('usage: node image/sbom.ts ROOT');
  const nodeVersion = execFileSync(join(root, 'usr/local/bin/node'), ['--version'], { encoding: 'utf8' });
  const bill = billOfMaterials(root, 'package-lock.json', nodeVersion.trim().replace(/^v/, ''));
  process.stdout.write(`${JSON.stringify(bill, null, 1)}\n`);
}
