import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import { isIssuedBy } from '../../src/certificates/pair.ts';

const hour = 3_600_000;
const validity = { notBefore: Date.now() - hour, notAfter: Date.now() + 30 * 24 * hour };
const hosts = ['d4c-gate.gate.svc', '127.0.0.1', '::1'];
const authority = await makeAuthority('test CA', validity);
const other = await makeAuthority('test CA', validity);
const leaf = await issueLeaf(authority, hosts, validity);

/** Why a client that verifies refuses the leaf, or `''`. */
async function refusal(servername: string, ca: string): Promise<string> {
  const server = createServer({ cert: leaf.cert, key: leaf.key, minVersion: 'TLSv1.3' });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca, servername });
  const refused = await new Promise<string>((resolve) => {
    socket.once('secureConnect', () => resolve(socket.authorized ? '' : String(socket.authorizationError)));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });
  socket.destroy();
  server.close();
  return refused;
}

test('a client that verifies strictly accepts the leaf for its name', async () => {
  assert.equal(await refusal('d4c-gate.gate.svc', authority.cert), '');
});

test('another name, and another authority of the same name, are refused', async () => {
  assert.equal(await refusal('d4c-gate.other.svc', authority.cert), 'ERR_TLS_CERT_ALTNAME_INVALID');
  assert.match(await refusal('d4c-gate.gate.svc', other.cert), /SIGNATURE|UNABLE|ISSUER/);
});

test('the leaf names hosts and addresses, is no authority and is for servers only', () => {
  assert.equal(
    leaf.certificate.subjectAltName?.replaceAll('IP Address:', 'IP:'),
    ['DNS:d4c-gate.gate.svc', 'IP:127.0.0.1', 'IP:0:0:0:0:0:0:0:1'].join(', '),
  );
  assert.equal(leaf.certificate.ca, false);
  assert.deepEqual(leaf.certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.equal(authority.certificate.ca, true);
});

test('validity is what was asked for, in whole seconds', () => {
  assert.equal(leaf.notBefore, Math.floor(validity.notBefore / 1000) * 1000);
  assert.equal(leaf.notAfter, Math.floor(validity.notAfter / 1000) * 1000);
});

test('serial numbers are 127 bits and differ, and every leaf has a key of its own', async () => {
  const second = await issueLeaf(authority, hosts, validity);
  assert.match(leaf.certificate.serialNumber, /^[4-7][0-9A-F]{31}$/);
  assert.notEqual(second.certificate.serialNumber, leaf.certificate.serialNumber);
  assert.notEqual(second.key, leaf.key);
});

test('only the authority that signed is the issuer', () => {
  assert.equal(isIssuedBy(leaf.certificate, authority.certificate), true);
  assert.equal(isIssuedBy(leaf.certificate, other.certificate), false);
});

const openssl = spawnSync('openssl', ['version'], { timeout: 10_000 });

test('openssl accepts the chain with every check it has', {
  skip: openssl.status === 0 ? false : 'needs the program openssl',
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'd4c-openssl-'));
  try {
    const ca = join(folder, 'ca.pem');
    const file = join(folder, 'leaf.pem');
    writeFileSync(ca, other.cert + authority.cert);
    writeFileSync(file, leaf.cert);
    const strict = [
      '-x509_strict',
      '-check_ss_sig',
      '-purpose',
      'sslserver',
      '-verify_hostname',
      'd4c-gate.gate.svc',
    ];
    const { status, stdout, stderr } = spawnSync('openssl', ['verify', ...strict, '-CAfile', ca, file], {
      encoding: 'utf8',
      timeout: 10_000,
    });
    assert.equal(status, 0, stdout + stderr);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
