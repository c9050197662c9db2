import assert from 'node:assert/strict';
import { existsSync, globSync, lstatSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { imageName } from '../../image/name.ts';
import {
  buildImage,
  builtImage,
  imageRequirements,
  makeBaseImage,
  removeImage,
} from '../support/built-image.ts';
import { must, run } from '../support/programs.ts';

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

interface ImageConfig {
  readonly created: string;
  readonly config: {
    readonly User: string;
    readonly Entrypoint: string[];
    readonly Env: string[];
    readonly Labels: Record<string, string>;
    readonly Healthcheck?: unknown;
  };
  readonly history: { readonly created: string; readonly created_by: string }[];
}

interface Component {
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly 'bom-ref': string;
}

interface Bill {
  readonly components: Component[];
  readonly dependencies: { readonly ref: string; readonly dependsOn: string[] }[];
  readonly metadata: { readonly component: Component };
}

describe('the image', { skip: imageRequirements() }, () => {
  const nameOfSecond = 'localhost/d4c-gate-built-again:test';
  let folder = '';
  let archive = '';
  let rootfs = '';
  let image: ImageConfig;
  let layers: Descriptor[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'd4c-image-test-'));
    await makeBaseImage();
    // Each waits for packages half of the time, so both together take little longer than one.
    const again = buildImage(join(folder, 'again.tar'), nameOfSecond);
    [archive] = await Promise.all([builtImage(), again]);
    const layout = join(folder, 'layout');
    rootfs = join(folder, 'rootfs');
    await mkdir(layout);
    await mkdir(rootfs);
    await must('tar', ['-xf', archive, '-C', layout]);
    const blobFile = ({ digest }: Descriptor) => join(layout, 'blobs', digest.replace(':', '/'));
    const read = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
    const [manifest]: Descriptor[] = read(join(layout, 'index.json')).manifests;
    assert.ok(manifest !== undefined);
    const { config, layers: blobs }: { config: Descriptor; layers: Descriptor[] } = read(blobFile(manifest));
    image = read(blobFile(config));
    layers = blobs;
    for (const layer of blobs) await must('tar', ['-xzf', blobFile(layer), '-C', rootfs]);
  });
  after(async () => {
    await removeImage(nameOfSecond);
    await rm(folder, { recursive: true, force: true });
  });

  /** Every path in it that is not a folder, without the leading slash. */
  const files = () =>
    globSync('**/*', { cwd: rootfs, withFileTypes: false }).filter(
      (file) => !lstatSync(join(rootfs, file)).isDirectory(),
    );

  test('is at most 250 MB', async () => {
    const { stdout } = await must('du', ['-sm', '--apparent-size', rootfs]);
    assert.ok(Number.parseInt(stdout, 10) <= 250, stdout);
    assert.ok(layers.reduce((sum, { size }) => sum + size, 0) <= 100_000_000, 'compressed');
  });

  test('runs as a user that is not root, says what it is, and has no HEALTHCHECK', () => {
    const { User, Entrypoint, Labels, Healthcheck } = image.config;
    assert.equal(User, '65532:65532');
    assert.deepEqual(Entrypoint, ['/usr/local/bin/d4c-gate']);
    assert.equal(Healthcheck, undefined);
    assert.equal(Labels['org.opencontainers.image.title'], 'd4c-gate');
    assert.equal(Labels['org.opencontainers.image.version'], imageName().split(':').at(-1));
    assert.match(Labels['org.opencontainers.image.revision'] ?? '', /^[0-9a-f]{40}$|^unknown$/);
  });

  test('has no shell, no package manager, no compiler, no npm, and no program but Node and its own', () => {
    const programs = files().filter((file) => {
      const { mode } = lstatSync(join(rootfs, file));
      const isLink = (mode & 0o170000) === 0o120000;
      return !isLink && (mode & 0o111) !== 0 && !/\.so(\.\d+)*$|\.node$/.test(file);
    });
    const unexpected = programs.filter(
      (file) => !/^(usr\/local\/bin\/(node|d4c-gate)|opt\/d4c-gate\/|lib64\/ld-|lib\/)/.test(file),
    );
    assert.deepEqual(unexpected, []);
    const forbidden = /(^|\/)(sh|bash|dash|busybox|apt|dpkg|npm|npx|gcc|g\+\+|cc|make|python3?|tsc)$/;
    assert.deepEqual(
      programs.filter((file) => forbidden.test(file)),
      [],
    );
  });

  test('has no sources of types, no development packages, and nothing that others may write', () => {
    const packages = join(rootfs, 'opt/d4c-gate/node_modules');
    for (const name of ['typescript', '@biomejs', 'node-gyp', 'fast-check', '@types']) {
      assert.equal(existsSync(join(packages, name)), false, name);
    }
    assert.deepEqual(
      files().filter((file) => /\.(ts|map|cc|h|o)$/.test(file)),
      [],
    );
    const loose = globSync('**/*', { cwd: rootfs }).filter((file) => {
      const { mode, uid } = lstatSync(join(rootfs, file));
      const isLink = (mode & 0o170000) === 0o120000;
      return !isLink && file !== 'tmp' && ((mode & 0o6002) !== 0 || uid !== 0);
    });
    assert.deepEqual(loose, []);
  });

  test('keeps nothing of the machine that built it', () => {
    const history = JSON.stringify(image.history) + JSON.stringify(image.config.Env);
    for (const text of ['npmrc', '_authToken', 'NODE_EXTRA_CA_CERTS', process.cwd()]) {
      assert.equal(history.includes(text), false, text);
    }
    for (const file of ['root/.npmrc', 'root/.npm', 'run/secrets', 'etc/resolv.conf', 'etc/hostname']) {
      assert.equal(existsSync(join(rootfs, file)), false, file);
    }
  });

  test('runs as that user, and its keeper and its addon load', async () => {
    const path = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin';
    const chroot = ['--userspec=65532:65532', rootfs, '/usr/local/bin/d4c-gate'];
    const { stdout } = await must('env', ['-i', path, 'chroot', ...chroot, 'version']);
    assert.match(stdout, /^d4c-gate \d+\.\d+\.\d+ \(node 24\./);
    // Nobody could come to it, so it ends at once.
    await must('env', ['-i', path, 'chroot', rootfs, '/usr/local/bin/d4c-gate-keeper']);
    const script =
      "const m = { exports: {} }; process.dlopen(m, '/opt/d4c-gate/build/Release/d4c_gate.node');";
    await must('env', ['-i', path, 'chroot', rootfs, '/usr/local/bin/node', '-e', script]);
  });

  test('has a bill of materials that names every package in it, and the same beside the archive', () => {
    const text = readFileSync(join(rootfs, 'opt/d4c-gate/sbom.cdx.json'), 'utf8');
    assert.equal(readFileSync(archive.replace(/tar$/, 'cdx.json'), 'utf8'), text);
    const bill: Bill = JSON.parse(text);
    const refs = bill.components.map((component) => component['bom-ref']);
    assert.equal(new Set(refs).size, refs.length);
    const known = new Set([...refs, bill.metadata.component['bom-ref']]);
    for (const { ref, dependsOn } of bill.dependencies) {
      assert.deepEqual(
        [ref, ...dependsOn].filter((one) => !known.has(one)),
        [],
      );
    }
    const named = new Set(bill.components.map(({ name, version }) => `${name}@${version}`));
    const installed = globSync('opt/d4c-gate/**/node_modules/{*,@*/*}/package.json', { cwd: rootfs }).map(
      (file): { name: string; version: string } => JSON.parse(readFileSync(join(rootfs, file), 'utf8')),
    );
    assert.ok(installed.length > 50);
    assert.deepEqual(
      installed.map(({ name, version }) => `${name}@${version}`).filter((each) => !named.has(each)),
      [],
    );
    for (const name of ['node', 'libc6', 'libstdc++6', 'libgcc-s1']) {
      assert.ok(
        bill.components.some((component) => component.name === name),
        name,
      );
    }
  });

  test('is the same bytes when it is built again', () => {
    const digest = (file: string) => readFileSync(file.replace(/tar$/, 'digest'), 'utf8');
    assert.match(digest(archive), /^sha256:[0-9a-f]{64}$/);
    assert.equal(digest(join(folder, 'again.tar')), digest(archive));
  });
});

test('image/build.ts refuses what it does not know, and says how it is used', async () => {
  const build = join(import.meta.dirname, '../../image/build.ts');
  const unknown = await run(process.execPath, [build, '--ouput', 'x.tar']);
  assert.equal(unknown.exitCode, 1);
  assert.match(unknown.stderr, /--ouput/);
  const nothing = await run(process.execPath, [build]);
  assert.equal(nothing.exitCode, 2);
  assert.match(nothing.stderr, /usage: npm run image/);
});
