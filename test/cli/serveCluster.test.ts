import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { eventually, run } from '../support/programs.ts';

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts');
const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
after(() => folder.remove());

/** Nobody answers at this address. */
const kubeconfig = join(folder.path, 'kubeconfig');
await writeFile(
  kubeconfig,
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:2' } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  }),
);
const inCluster = ['--kubeconfig', kubeconfig];
const webhookUrl = ['--webhook-url', 'https://127.0.0.1:8443'];

/** @param host what the kubelet tells pods; the tests may run in one */
const serve = (flags: readonly string[], host = '') =>
  run('env', [`KUBERNETES_SERVICE_HOST=${host}`, process.execPath, main, 'serve', ...flags]);

const misuses: [flags: string[], says: RegExp][] = [
  [[], /name a directory with `--policies`, or a cluster with `--kubeconfig`/],
  [['--install'], /need a cluster: name it with `--kubeconfig FILE`/],
  [[...inCluster, '--install'], /`--install` needs `--webhook-url`/],
  [[...inCluster, '--webhook-url', 'http://127.0.0.1'], /must be https:\/\/HOST/],
  [[...inCluster, '--dev-certs'], /the certificate comes from a Secret; leave out/],
  [[...inCluster, '--certificates', 'mine'], /must be one of self, cert-manager, provided/],
  [[...inCluster, '--before-sync', 'maybe'], /must be one of allow, deny/],
  [[...inCluster, '--max-in-flight', '0'], /must be a whole number from 1 to 10000/],
];

for (const [flags, says] of misuses) {
  const shown = flags.map((flag) => (flag === kubeconfig ? 'FILE' : flag)).join(' ');
  test(`\`serve ${shown}\` is misuse and says why`, async () => {
    const { exitCode, stderr } = await serve(flags);
    assert.equal(exitCode, 2, stderr);
    assert.match(stderr, says);
    assert.match(stderr, /^d4c-gate: .* \(USAGE\)\n$/);
  });
}

test('in a pod it looks for the service account, unless files are named', {
  skip: existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token') && 'runs in a pod that has one',
}, async () => {
  const inPod = await serve(['--policies', folder.path], '10.96.0.1');
  assert.equal(inPod.exitCode, 2);
  assert.match(inPod.stderr, /\(KUBERNETES_CONFIG\)\n$/);
  const absent = join(folder.path, 'absent');
  const files = ['--policies', absent, '--tls-cert', absent, '--tls-key', absent];
  const withFiles = await serve(files, '10.96.0.1');
  assert.equal(withFiles.exitCode, 2);
  assert.match(withFiles.stderr, /cannot read policies from .*\(FILE_UNREADABLE\)\n$/);
});

test('installing where no API server answers is one error', async () => {
  const flags = [...inCluster, ...webhookUrl, '--install'];
  const { exitCode, stderr } = await serve(flags);
  assert.equal(exitCode, 2);
  assert.match(stderr, /^d4c-gate: .*ECONNREFUSED.* \(KUBERNETES_UNREACHABLE\)\n$/);
});

test('without installing it waits for the API server, and SIGTERM ends the waiting with 0', async (t) => {
  const child = spawn(process.execPath, [main, 'serve', ...inCluster], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  await eventually('it says what it waits for', () => /watch_interrupted/.test(stdout + stderr), 15_000);
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null], stderr);
});
