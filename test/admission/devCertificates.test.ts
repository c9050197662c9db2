import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempDisposable, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureDevCertificates } from '../../src/admission/devCertificates.ts';

const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
after(() => folder.remove());
const directory = join(folder.path, 'certs');

const read = async (file: string) => new X509Certificate(await readFile(file));

test('a CA and a serving certificate are made, keys for their owner alone', async () => {
  const files = await ensureDevCertificates(directory, 'gate.example');
  const [ca, leaf] = [await read(files.caFile), await read(files.certFile)];
  assert.ok(ca.ca && !leaf.ca);
  assert.ok(leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
  for (const host of ['localhost', 'gate.example', 'd4c-gate.d4c-gate.svc'])
    assert.ok(leaf.checkHost(host), host);
  for (const address of ['127.0.0.1', '::1']) assert.ok(leaf.checkIP(address), address);
  assert.equal(leaf.checkHost('elsewhere.example'), undefined);
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  for (const key of [files.keyFile, join(directory, 'ca.key')]) {
    assert.equal((await stat(key)).mode & 0o777, 0o600);
  }
});

test('what is still good is used again', async () => {
  const files = await ensureDevCertificates(directory, 'gate.example');
  const before = await readFile(files.certFile, 'utf8');
  await ensureDevCertificates(directory, 'gate.example');
  assert.equal(await readFile(files.certFile, 'utf8'), before);
});

test('another host gets a new serving certificate of the same CA', async () => {
  const { caFile } = await ensureDevCertificates(directory, 'gate.example');
  const ca = await readFile(caFile, 'utf8');
  const files = await ensureDevCertificates(directory, '192.0.2.7');
  assert.ok((await read(files.certFile)).checkIP('192.0.2.7'));
  assert.equal(await readFile(caFile, 'utf8'), ca);
});

test('a CA without its key, and a file that is no certificate, are made anew', async () => {
  const files = await ensureDevCertificates(directory, 'localhost');
  const before = await readFile(files.caFile, 'utf8');
  await rm(join(directory, 'ca.key'));
  await writeFile(files.certFile, 'garbage');
  await ensureDevCertificates(directory, 'localhost');
  assert.notEqual(await readFile(files.caFile, 'utf8'), before);
  assert.ok((await read(files.certFile)).verify((await read(files.caFile)).publicKey));
});

test('every address as host adds none', async () => {
  const { certFile } = await ensureDevCertificates(join(folder.path, 'any'), '::');
  assert.doesNotMatch((await read(certFile)).subjectAltName ?? '', /0:0:0:0:0:0:0:0/);
});

test('a directory that cannot be made is an error that names it', async () => {
  await writeFile(join(folder.path, 'file'), '');
  await assert.rejects(ensureDevCertificates(join(folder.path, 'file'), 'localhost'), {
    code: 'FILE_UNREADABLE',
    message: /file/,
  });
});
