import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importsOf, sourceFiles } from './sources.ts';

/** What each folder of src may import of the others. Files directly in src may be imported by every folder but policy. */
const allowed: Record<string, readonly string[]> = {
  policy: [],
  sources: ['policy'],
  kubernetes: ['policy', 'sources'],
  events: ['policy'],
  native: ['policy'],
  certificates: [],
  admission: ['policy', 'sources', 'kubernetes', 'certificates'],
  controller: ['policy', 'sources', 'kubernetes', 'certificates', 'admission'],
  node: ['policy', 'sources', 'events', 'native'],
  cli: [
    'policy',
    'sources',
    'kubernetes',
    'events',
    'native',
    'certificates',
    'admission',
    'controller',
    'node',
  ],
};

/** The packages that only one place may import. */
const onlyIn: Record<string, RegExp> = {
  '@kubernetes/client-node': /^src\/kubernetes\//,
  'node-gyp-build': /^src\/native\/binding\.ts$/,
  express: /^src\/admission\//,
  commander: /^src\/cli\//,
  protobufjs: /^src\/node\/protobuf\.ts$/,
  'node-forge': /^src\/certificates\//,
};

const folderOf = (path: string): string => (path.split('/').length > 2 ? (path.split('/')[1] ?? '') : '');

test('every folder of src has an import rule', () => {
  const folders = new Set(sourceFiles().map(folderOf).filter(Boolean));
  assert.deepEqual(
    [...folders].filter((folder) => !(folder in allowed)),
    [],
  );
});

test('folders import only what the architecture allows', () => {
  const broken: string[] = [];
  for (const file of sourceFiles()) {
    const folder = folderOf(file);
    for (const imported of importsOf(file).local) {
      const target = folderOf(imported);
      if (imported === 'src/main.ts') broken.push(`${file} imports main`);
      if (folder === '' || target === folder) continue;
      if (
        target === ''
          ? folder === 'policy' && imported !== 'src/errors.ts'
          : !allowed[folder]?.includes(target)
      ) {
        broken.push(`${file} imports ${imported}`);
      }
    }
  }
  assert.deepEqual(broken, []);
});

test('policy imports no package but yaml and picomatch, and nothing of node', () => {
  const packages = sourceFiles()
    .filter((file) => folderOf(file) === 'policy')
    .flatMap((file) => importsOf(file).packages.map((name) => `${file}: ${name}`))
    .filter((line) => !/: (yaml|picomatch)$/.test(line));
  assert.deepEqual(packages, []);
});

test('packages with one home are imported only there', () => {
  const broken = sourceFiles().flatMap((file) =>
    importsOf(file)
      .packages.filter((name) => onlyIn[name] !== undefined && !onlyIn[name].test(file))
      .map((name) => `${file}: ${name}`),
  );
  assert.deepEqual(broken, []);
});
