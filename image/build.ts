/**
 * Builds the image and writes it as an archive that containerd imports.
 *
 * usage: npm run image -- --output FILE.tar [options]; `--help` lists them
 *
 * Owns nothing but the archive and what stands beside it: the bill of materials FILE.cdx.json and the manifest's digest
 * FILE.digest. Images stay in buildah's storage, so that a second build need not make the base again.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { installPackages } from '../test/support/packages.ts';
import { readFromArchive } from './archive.ts';
import { makeBaseImage } from './base.ts';
import { buildah } from './builder.ts';
import { imageName } from './name.ts';

const usage = `usage: npm run image -- --output FILE.tar [options]

  --output FILE        the OCI archive; FILE with .cdx.json and .digest instead of .tar are written too
  --name NAME          name and tag of the image (default: the chart's, ${imageName()})
  --mirror URL         Debian's packages (default: http://deb.debian.org/debian)
  --security-mirror URL  Debian's security updates (default: http://deb.debian.org/debian-security)
  --fresh-base         make the base image again, also where buildah has one of its name
  --base-only          make the base image where it is missing, and nothing else: without --output
  --npmrc FILE         npm's configuration for the build stage; no layer has it
  --ca FILE            certificates that npm trusts in the build stage (default: $NODE_EXTRA_CA_CERTS); no layer has it
  --storage FOLDER     buildah's storage (default: the machine's)
  --no-install         do not install buildah and debootstrap where they are missing
`;

function build(argv: string[]): void {
  const { values } = parseArgs({
    args: argv,
    options: {
      output: { type: 'string' },
      name: { type: 'string', default: imageName() },
      mirror: { type: 'string', default: 'http://deb.debian.org/debian' },
      'security-mirror': { type: 'string', default: 'http://deb.debian.org/debian-security' },
      'fresh-base': { type: 'boolean', default: false },
      'base-only': { type: 'boolean', default: false },
      npmrc: { type: 'string' },
      ca: { type: 'string', default: process.env.NODE_EXTRA_CA_CERTS ?? '' },
      storage: { type: 'string' },
      'no-install': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const isBaseOnly = values['base-only'];
  if (values.help || (values.output === undefined && !isBaseOnly)) {
    process.stderr.write(usage);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  installPackages(values['no-install'] ? ['--no-install'] : [], say, {
    buildah: 'buildah',
    debootstrap: 'debootstrap',
  });
  const root = join(import.meta.dirname, '..');
  const builder = buildah(values.storage);
  const epoch = commitTime(root);
  const base = /^FROM (\S+)/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))?.[1] ?? '';
  if (values['fresh-base'] || !builder.exists(base)) {
    say(`making the base image ${base} from Debian packages`);
    makeBaseImage(builder, base, { debian: values.mirror, security: values['security-mirror'] }, epoch);
  }
  if (isBaseOnly || values.output === undefined) return;
  const archive = resolve(values.output);
  const secrets = Object.fromEntries(
    Object.entries({ npmrc: values.npmrc ?? '', ca: values.ca }).filter(([, file]) => file !== ''),
  );
  const version: string = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
  say(`building ${values.name}`);
  builder.build({
    folder: root,
    name: values.name,
    epoch,
    arguments: { VERSION: version, REVISION: git(root, 'rev-parse', 'HEAD') ?? 'unknown' },
    secrets,
  });
  const folder = mkdtempSync(join(tmpdir(), 'd4c-gate-image-'));
  try {
    rmSync(archive, { force: true });
    builder.push(values.name, archive, join(folder, 'digest'));
    const beside = archive.replace(/\.tar$/, '');
    writeFileSync(`${beside}.digest`, readFileSync(join(folder, 'digest')));
    writeFileSync(`${beside}.cdx.json`, readFromArchive(archive, 'opt/d4c-gate/sbom.cdx.json'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  say(`${archive}: ${values.name}`);
}

/** The time of the last commit: two builds of one commit are the same image. `SOURCE_DATE_EPOCH` overrides it. */
function commitTime(root: string): number {
  const set = process.env.SOURCE_DATE_EPOCH ?? '';
  return Number(/^\d+$/.test(set) ? set : (git(root, 'log', '-1', '--format=%ct') ?? 0));
}

function git(root: string, ...args: string[]): string | undefined {
  if (!existsSync(join(root, '.git'))) return undefined;
  const { status, stdout } = spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

try {
  build(process.argv.slice(2));
} catch (error) {
  say(`image: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
