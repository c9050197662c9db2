// Builds the addon on Linux at install time. A module rather than a script in package.json, because Node's headers
// stand beside the running program (the npm package `node` ships them), and then nothing has to be downloaded.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const built = join(root, 'build', 'Release', 'd4c_gate.node');

if (process.platform !== 'linux') {
  console.log('d4c-gate: the node agent needs Linux; admission and the policy tools work without its addon');
} else if (process.argv.includes('--force') || !existsSync(built)) {
  const prefix = join(dirname(process.execPath), '..');
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  const build = spawnSync('node-gyp', ['rebuild', '--loglevel=error', ...headers], {
    cwd: root,
    stdio: 'inherit',
  });
  if (build.status !== 0) {
    console.error('d4c-gate: the addon was not built; g++ (C++17), make and python3 are needed');
    process.exitCode = 1;
  }
}
