import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node';
import { execCredential } from '../../src/kubernetes/exec-credential.ts';

/** A configuration whose user runs this JavaScript as its plugin. */
function configWith(script: string, env: { name: string; value: string }[] = []): KubeConfig {
  const config = new KubeConfig();
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: process.execPath,
    args: ['-e', script],
    env,
  };
  config.loadFromClusterAndUser(
    { name: 'c', server: 'https://127.0.0.1:1', skipTLSVerify: false },
    { name: 'u', exec },
  );
  return config;
}

const printing = (status: string) => `process.stdout.write(JSON.stringify({ status: ${status} }))`;

test('takes the token of a plugin, which is told what it is asked for', async () => {
  const token =
    "process.env.A + JSON.parse(process.env.KUBERNETES_EXEC_INFO).kind + (process.env.PATH ? '' : '!')";
  const config = configWith(printing(`{ token: ${token} }`), [{ name: 'A', value: 'a-' }]);
  await execCredential(config);
  assert.equal(config.getCurrentUser()?.token, 'a-ExecCredential');
  assert.equal(config.getCurrentUser()?.exec, undefined);
});

test('asks again only when the credential has expired', async () => {
  const lasting = configWith(printing('{ token: String(process.pid) }'));
  await execCredential(lasting);
  const first = lasting.getCurrentUser()?.token;
  await execCredential(lasting);
  assert.equal(lasting.getCurrentUser()?.token, first);

  const expiring = configWith(
    printing('{ token: String(process.pid), expirationTimestamp: new Date().toISOString() }'),
  );
  await execCredential(expiring);
  const before = expiring.getCurrentUser()?.token;
  await execCredential(expiring);
  assert.notEqual(expiring.getCurrentUser()?.token, before);
});

test('takes a client certificate, in the form that the client wants', async () => {
  const config = configWith(printing("{ clientCertificateData: 'PEM', clientKeyData: 'KEY' }"));
  await execCredential(config);
  const { certData, keyData } = config.getCurrentUser() ?? {};
  assert.deepEqual([certData, keyData], ['UEVN', 'S0VZ']);
});

test('a plugin that prompts reads the end of its input, and one that fails says why', async () => {
  const prompts =
    "process.stdin.on('end', () => { console.error('nobody there'); process.exit(3) }).resume()";
  await assert.rejects(execCredential(configWith(prompts)), {
    code: 'KUBERNETES_CONFIG',
    message: `exec plugin \`${process.execPath}\` failed: nobody there`,
  });
  await assert.rejects(execCredential(configWith('console.log(1)')), /printed no credential/);
  await assert.rejects(execCredential(configWith("console.log('x')")), /not JSON/);
});
