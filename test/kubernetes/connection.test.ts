import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, isInCluster } from '../../src/kubernetes/connection.ts';

async function withConfig(config: unknown, body: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-kubeconfig-'));
  const file = join(folder, 'config');
  await writeFile(file, typeof config === 'string' ? config : JSON.stringify(config));
  try {
    await body(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

const kubeconfig = (user: object, server = 'https://127.0.0.1:6443/') => ({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'c', cluster: { server } }],
  users: [{ name: 'u', user }],
  contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'n' } }],
  'current-context': 'x',
});

test('takes server, namespace and credentials of the current context', () =>
  withConfig(kubeconfig({ token: 't' }), async (file) => {
    const connection = await connect(file);
    assert.equal(connection.server, 'https://127.0.0.1:6443');
    assert.equal(connection.namespace, 'n');
    assert.equal((await connection.credentials()).headers.Authorization, 'Bearer t');
    connection.close();
  }));

test('shares credentials and connections between requests until they are refused', () =>
  withConfig(kubeconfig({ token: 't' }), async (file) => {
    const connection = await connect(file);
    const first = await connection.credentials();
    assert.equal(await connection.credentials(), first);
    connection.forgetCredentials();
    assert.notEqual(await connection.credentials(), first);
    connection.close();
  }));

test('a plugin is asked again when what it gave is refused, though it has not expired', () => {
  const script = 'process.stdout.write(JSON.stringify({ status: { token: String(process.pid) } }))';
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: process.execPath,
    args: ['-e', script],
    interactiveMode: 'Never',
  };
  return withConfig(kubeconfig({ exec }), async (file) => {
    const connection = await connect(file);
    const tokenNow = async () => (await connection.credentials()).headers.Authorization;
    const first = await tokenNow();
    assert.match(first ?? '', /^Bearer \d+$/);
    connection.forgetCredentials();
    assert.notEqual(await tokenNow(), first);
    connection.close();
  });
});

test('a file that cannot be used is an error that names it', async () => {
  const broken: [unknown, RegExp][] = [
    ['{', /cannot load/],
    ['just text', /cannot load|names no server/],
    [{ ...kubeconfig({}), 'current-context': 'other' }, /names no server/],
    [kubeconfig({}, 'ftp://host'), /names no server/],
  ];
  for (const [config, expected] of broken) {
    await withConfig(config, (file) =>
      assert.rejects(connect(file), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'KUBERNETES_CONFIG');
        assert.match(error.message, expected);
        assert.ok(error.message.includes(file));
        return true;
      }),
    );
  }
  await assert.rejects(connect('/nowhere/kubeconfig'), { code: 'KUBERNETES_CONFIG' });
});

test('credentials that cannot be read fail the request, and are tried again by the next', () =>
  withConfig(
    kubeconfig({ 'client-certificate': '/nowhere/crt', 'client-key': '/nowhere/key' }),
    async (file) => {
      const connection = await connect(file);
      for (const _ of [1, 2]) await assert.rejects(connection.credentials(), { code: 'KUBERNETES_CONFIG' });
      connection.close();
    },
  ));

test(
  'outside of a cluster a kubeconfig file must be named',
  { skip: isInCluster() && 'runs in a cluster' },
  () => assert.rejects(connect(), { code: 'KUBERNETES_CONFIG', message: /--kubeconfig FILE/ }),
);
