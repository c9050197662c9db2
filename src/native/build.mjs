// Builds the keeper and the addon on Linux at install time. A module rather than a script in package.json, because Node's headers
// are on the machine already, as a rule in the npm package `node`, and then nothing has to be downloaded.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const built = ['d4c-gate-keeper', 'd4c_gate.node'].map((name) => join(root, 'build', 'Release', name));
const program = join(dirname(process.execPath), '..');

/** Where headers may be. Those of any Node that has Node-API 9 will do: the addon uses nothing else of it. */
const prefixes = [program, join(program, 'node_modules', `node-linux-${process.arch}`), '/usr', '/usr/local'];

/** What node-gyp needs besides headers. */
const hasHeaders = (prefix) =>
  ['node_api.h', 'common.gypi'].every((name) => existsSync(join(prefix, 'include', 'node', name)));

/** Whether the C library is there to be linked into a program: with it the keeper takes 1 MiB less. Not every distribution has it. */
function canLinkStatically() {
  const isThere = (name) => {
    const { stdout } = spawnSync(process.env.CXX ?? 'g++', [`-print-file-name=${name}`], {
      encoding: 'utf8',
    });
    return (stdout ?? '').startsWith('/');
  };
  return ['libc.a', 'libstdc++.a', 'rcrt1.o'].every(isThere);
}

if (process.platform !== 'linux') {
  console.log('d4c-gate: the node agent needs Linux; admission and the policy tools work without it');
} else if (process.argv.includes('--force') || !built.every((file) => existsSync(file))) {
  const prefix = prefixes.find(hasHeaders);
  // Without a directory node-gyp downloads the headers.
  const headers = prefix === undefined ? [] : [`--nodedir=${prefix}`];
  // Warnings are errors for us, not for users whose compiler is newer than ours.
  const variables = [
    ...(process.argv.includes('--strict') ? ['-Dstrict=true'] : []),
    ...(canLinkStatically() ? ['-Dstatic_keeper=true'] : []),
  ];
  const arguments_ = ['rebuild', '--jobs=max', '--loglevel=error', ...headers, '--', ...variables];
  const build = spawnSync('node-gyp', arguments_, {
    cwd: root,
    stdio: 'inherit',
  });
  if (build.status !== 0) {
    console.error(
      'd4c-gate: the keeper and the addon were not built; g++ (C++17), make and python3 are needed',
    );
    process.exitCode = 1;
  }
}
