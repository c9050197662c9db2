import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, type TestContext, test } from 'node:test';
import { recorded } from '../admission/support.ts';
import { eventually } from '../support/programs.ts';

const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts');
const folder = await mkdtempDisposable(join(tmpdir(), 'd4c-gate-'));
after(() => folder.remove());
const certs = join(folder.path, 'certs');

const policy = (namespace: string): string => `
process:
  selectors:
    - name: programs
      operation: [exec]
      kubernetesNamespace: [${namespace}]
  responses:
    - match: [programs]
      actions: [log]
`;

interface Served {
  child: ChildProcess;
  lines: string[];
  port: number;
  ca: string;
}

/** Runs `d4c-gate serve` until the test ends. */
async function serve(t: TestContext, policies: string, ...flags: string[]): Promise<Served> {
  const child = spawn(
    process.execPath,
    [
      main,
      'serve',
      '--policies',
      policies,
      '--listen',
      '127.0.0.1:0',
      '--dev-certs',
      '--certs-dir',
      certs,
      ...flags,
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  t.after(() => child.kill('SIGKILL'));
  assert.ok(child.stdout);
  const lines: string[] = [];
  let port = 0;
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    port = Number(/^listening on https:\/\/127\.0\.0\.1:(\d+)$/.exec(line)?.[1] ?? 0);
    if (port > 0) break;
  }
  assert.ok(port > 0, lines.join('\n'));
  return { child, lines, port, ca: await readFile(join(certs, 'ca.crt'), 'utf8') };
}

interface Reply {
  status: number;
  body: { status?: string; response?: { allowed: boolean; patch?: string } };
}

/** One request to the child; the body is held back until `proceed` resolves. */
async function ask(
  { port, ca }: Served,
  path: string,
  { body, proceed }: { body?: object; proceed?: Promise<void> } = {},
): Promise<Reply> {
  const method = body === undefined ? 'GET' : 'POST';
  const headers = { 'content-type': 'application/json' };
  const asked = request({ host: '127.0.0.1', port, path, method, headers, ca });
  asked.write(body === undefined ? '' : ' ');
  await proceed;
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = await once(asked, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, body: JSON.parse(text) as Reply['body'] };
}

const policiesGiven = (reply: Reply): unknown => {
  const patch = JSON.parse(Buffer.from(reply.body.response?.patch ?? '', 'base64').toString());
  return patch[0].value['d4c-gate.io/policies'];
};

test('a pod is annotated, a changed policy is followed, and SIGTERM ends it in order', async (t) => {
  const policies = join(folder.path, 'one.yaml');
  await writeFile(policies, policy('team-b'));
  const served = await serve(t, policies, '--drain-ms', '300');
  assert.equal(served.lines[0], `CA certificate: ${join(certs, 'ca.crt')}`);
  const pod = recorded('mutate CREATE pods bare');
  assert.equal(policiesGiven(await ask(served, '/mutate', { body: pod })), 'one');

  await writeFile(policies, policy('team-a'));
  await eventually(
    'the change',
    async () => policiesGiven(await ask(served, '/mutate', { body: pod })) === '',
  );

  const proceed = Promise.withResolvers<void>();
  const inFlight = ask(served, '/mutate', { body: pod, proceed: proceed.promise });
  await ask(served, '/healthz');
  const exited = once(served.child, 'exit');
  served.child.kill('SIGTERM');
  await eventually('/readyz fails', async () => (await ask(served, '/readyz')).status === 503);
  assert.equal((await ask(served, '/mutate', { body: pod })).status, 200, 'it still answers');
  await eventually('it accepts no more', () =>
    ask(served, '/healthz').then(
      () => false,
      () => true,
    ),
  );
  proceed.resolve();
  assert.equal((await inFlight).body.response?.allowed, true);
  assert.deepEqual(await exited, [0, null]);
});

test('a second signal ends the wait', async (t) => {
  const policies = join(folder.path, 'one.yaml');
  const served = await serve(t, policies, '--drain-ms', '600000');
  const exited = once(served.child, 'exit');
  served.child.kill('SIGINT');
  await eventually('/readyz fails', async () => (await ask(served, '/readyz')).status === 503);
  served.child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
});

/** Command lines that end at once with 2, and what they say. */
const misuses: [flags: string[], says: RegExp][] = [
  [[], /--policies/],
  [['--policies', 'P'], /`--tls-cert` with `--tls-key`, or `--dev-certs` \(USAGE\)/],
  [['--policies', 'P', '--tls-cert', 'x'], /\(USAGE\)/],
  [['--policies', 'P', '--dev-certs', '--tls-cert', 'x', '--tls-key', 'y'], /\(USAGE\)/],
  [['--policies', 'P', '--listen', 'nowhere', '--dev-certs'], /`--listen nowhere`.*\(USAGE\)/],
  [['--policies', 'P', '--dev-certs', '--drain-ms', '-1'], /`--drain-ms -1`.*\(USAGE\)/],
  [
    ['--policies', 'P', '--tls-cert', '/nonexistent', '--tls-key', '/nonexistent'],
    /nonexistent.*\(FILE_UNREADABLE\)/,
  ],
  [['--policies', '/nonexistent', '--dev-certs'], /nonexistent.*\(FILE_UNREADABLE\)/],
  [['--policies', 'BAD', '--dev-certs'], /BAD|bad\.yaml:\d+:\d+: error: .*\(POLICIES_INVALID\)/],
];

for (const [flags, says] of misuses) {
  test(`serve ${flags.join(' ')} ends with 2 and says ${says}`, async () => {
    const good = join(folder.path, 'one.yaml');
    const bad = join(folder.path, 'bad.yaml');
    await writeFile(good, policy('team-b'));
    await writeFile(bad, 'process: {}');
    const paths: Record<string, string> = { P: good, BAD: bad };
    const argv = flags.map((flag) => paths[flag] ?? flag);
    const child = spawn(process.execPath, [main, 'serve', '--certs-dir', certs, ...argv], { stdio: 'pipe' });
    let told = '';
    child.stderr.on('data', (chunk) => {
      told += chunk;
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 2);
    assert.match(told, says);
    assert.doesNotMatch(told, /^\s+at /m);
  });
}
