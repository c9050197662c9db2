import assert from 'node:assert/strict';
import { cp, mkdtempDisposable, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureDevCertificates } from '../../src/admission/devCertificates.ts';
import { followTlsFiles, readTlsFiles } from '../../src/admission/tlsFiles.ts';
import type { CertificatePair } from '../../src/certificates/pair.ts';
import { keepServed } from '../../src/certificates/served.ts';
import { eventually } from '../support/programs.ts';

const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
after(() => folder.remove());
const path = (name: string): string => join(folder.path, name);
await ensureDevCertificates(path('one'), 'localhost');
await ensureDevCertificates(path('two'), 'localhost');

const filesIn = (name: string) => ({ certFile: path(`${name}/tls.crt`), keyFile: path(`${name}/tls.key`) });

const push = (pairs: CertificatePair[]) => (pair: CertificatePair) => void pairs.push(pair);

test('a certificate and its key are read', async () => {
  const { cert, key } = await readTlsFiles(filesIn('one'));
  assert.match(cert, /^-----BEGIN CERTIFICATE/);
  assert.match(key, /PRIVATE KEY/);
});

test('a key of another certificate, a file without PEM, and a missing file are errors that name the files', async () => {
  const mixed = { certFile: path('one/tls.crt'), keyFile: path('two/tls.key') };
  await assert.rejects(readTlsFiles(mixed), {
    code: 'TLS_UNUSABLE',
    message: /one\/tls\.crt.*two\/tls\.key/,
  });
  await writeFile(path('empty'), '');
  const empty = { certFile: path('empty'), keyFile: path('empty') };
  await assert.rejects(readTlsFiles(empty), { code: 'TLS_UNUSABLE' });
  const missing = { certFile: path('none'), keyFile: path('none') };
  await assert.rejects(readTlsFiles(missing), { code: 'FILE_UNREADABLE', message: /none/ });
});

test('a renewed pair is handed over once both files are there, also by the swap of a mounted Secret', async (t) => {
  await cp(path('one'), path('mount/..1'), { recursive: true });
  await cp(path('two'), path('mount/..2'), { recursive: true });
  await symlink('..1', path('mount/..data'));
  for (const name of ['tls.crt', 'tls.key']) await symlink(`..data/${name}`, path(`mount/${name}`));
  const files = filesIn('mount');
  const pairs: CertificatePair[] = [];
  const watch = followTlsFiles(files, keepServed(push(pairs), await readTlsFiles(files)), 20);
  t.after(watch.close);
  await symlink('..2', path('mount/..next'));
  await rename(path('mount/..next'), path('mount/..data'));
  await eventually('the new pair is handed over', () => pairs.length > 0);
  assert.deepEqual(
    pairs.map(({ cert }) => cert),
    [(await readTlsFiles(filesIn('two'))).cert],
  );
});

test('a certificate that does not fit its key is not handed over, and the next good pair is', async (t) => {
  await cp(path('one'), path('edited'), { recursive: true });
  const files = filesIn('edited');
  const first = await readTlsFiles(files);
  const pairs: CertificatePair[] = [];
  const watch = followTlsFiles(files, keepServed(push(pairs), first), 20);
  t.after(watch.close);
  await cp(path('two/tls.crt'), files.certFile);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(pairs, []);
  await rm(files.keyFile);
  await cp(path('two/tls.key'), files.keyFile);
  await eventually('the new pair is handed over', () => pairs.length > 0);
  assert.equal(pairs.length, 1);
});
