import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { root } from '../house/sources.ts';

const driftPolicy = `
file:
  selectors:
    - { name: drift, operation: [createExecutable], containerImageName: [nginx, redis] }
    - { name: builds, operation: [createExecutable], targetFilePath: ["/build/**"] }
  responses:
    - { match: [drift], exclude: [builds], actions: [alert, block] }
`;
const bankPolicy = `
process:
  selectors: [{ name: bank, operation: [exec], kubernetesNamespace: [bank] }]
  responses: [{ match: [bank], actions: [log] }]
`;
const pod = `
apiVersion: v1
kind: Pod
metadata: { name: web-0, namespace: shop, labels: { app: web } }
spec:
  initContainers: [{ name: init, image: busybox }]
  containers: [{ name: web, image: "nginx:1.27" }]
`;

let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'd4c-gate-explain-'));
  mkdirSync(join(folder, 'policies'));
  mkdirSync(join(folder, 'bad'));
  writeFileSync(join(folder, 'policies/drift.yaml'), driftPolicy);
  writeFileSync(join(folder, 'policies/bank.yaml'), bankPolicy);
  writeFileSync(join(folder, 'bad/broken.yaml'), 'file: {}');
  writeFileSync(join(folder, 'pod.yaml'), pod);
  writeFileSync(join(folder, 'dropped.yaml'), 'operation: createExecutable\npath: /tmp/tool\n');
  writeFileSync(join(folder, 'built.yaml'), 'operation: createExecutable\npath: /build/tool\n');
});

after(() => rmSync(folder, { recursive: true }));

interface Finished {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `d4c-gate explain`; file names are of the folder above. */
function explain(flags: Record<string, string>, policies = 'policies'): Promise<Finished> {
  const files = new Set(['pod', 'event']);
  const argv = Object.entries({ pod: 'pod.yaml', ...flags }).flatMap(([flag, value]) => [
    `--${flag}`,
    files.has(flag) ? join(folder, value) : value,
  ]);
  const args = [join(root, 'src/main.ts'), 'explain', '--policies', join(folder, policies), ...argv];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: 20_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test('says which policies apply and why, and ends with 0', async () => {
  const { code, stdout } = await explain({});
  assert.equal(code, 0);
  assert.match(stdout, /^Pod web-0 in namespace shop$/m);
  assert.match(stdout, /^ {2}apply: {8}drift$/m);
  assert.match(stdout, /^ {2}do not apply: bank$/m);
  assert.match(stdout, /^policy drift does not apply to init$/m);
  assert.match(stdout, /^ {4}no {7}containerImageName nginx or redis: it is busybox$/m);
  assert.match(stdout, /^policy drift applies to web$/m);
  assert.match(stdout, /^ {4}yes {6}containerImageName nginx or redis: it is nginx$/m);
  assert.match(stdout, /^policy bank does not apply to init, web$/m);
  assert.match(stdout, /^ {4}no {7}kubernetesNamespace bank: it is shop$/m);
});

test('a denied event ends with 1 and names policy and selector', async () => {
  const { code, stdout } = await explain({ event: 'dropped.yaml' });
  assert.equal(code, 1);
  assert.match(stdout, /^event: createExecutable of \/tmp\/tool, on the root filesystem$/m);
  assert.match(stdout, /^ {2}in web, drift says alert, block, as drift matches$/m);
  assert.match(stdout, /^verdict: deny$/m);
  assert.match(stdout, /it has no file section, so it says nothing of this event/);
});

test('an excluded event ends with 0 and shows the exclude', async () => {
  const { code, stdout } = await explain({ event: 'built.yaml' });
  assert.equal(code, 0);
  assert.match(stdout, /^verdict: allow$/m);
  assert.match(
    stdout,
    /^ {2}file response 1 does not fire: alert, block when drift matches, unless builds does$/m,
  );
  assert.match(
    stdout,
    /^ {4}yes {6}targetFilePath \/build\/\*\*: it is \/build\/tool, which fits \/build\/\*\*$/m,
  );
});

test('one container may be asked about alone', async () => {
  const { code, stdout } = await explain({ event: 'dropped.yaml', container: 'init' });
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /nginx:1.27/);
  const missing = await explain({ container: 'nope' });
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /no container `nope`; it has init, web \(USAGE\)/);
});

test('in mode observe, and without opting in, everything is allowed', async () => {
  for (const [labels, words] of [
    [
      'd4c-gate.io/mode=observe,team=a',
      /verdict: allow, though a policy says block: the namespace only observes/,
    ],
    ['team=a', /verdict: allow, though a policy says block: the namespace has not opted in/],
  ] as const) {
    const { code, stdout } = await explain({ event: 'dropped.yaml', 'namespace-labels': labels });
    assert.equal(code, 0);
    assert.match(stdout, words);
  }
  const enforced = await explain({ event: 'dropped.yaml', 'namespace-labels': 'd4c-gate.io/mode=enforce' });
  assert.equal(enforced.code, 1);
});

test('json has the same answer for programs', async () => {
  const { code, stdout } = await explain({ event: 'dropped.yaml', output: 'json' });
  assert.equal(code, 1);
  const explanation = JSON.parse(stdout);
  assert.equal(explanation.verdict, 'deny');
  assert.equal(explanation.mode, 'enforce');
  assert.equal(explanation.modeAssumed, true);
  assert.deepEqual(
    explanation.policies.map(({ id, applies }: { id: string; applies: string }) => [id, applies]),
    [
      ['bank', 'no'],
      ['drift', 'yes'],
    ],
  );
  assert.deepEqual(explanation.containers[1], {
    container: 'web',
    image: 'nginx:1.27',
    decision: {
      verdict: 'deny',
      policies: [{ policyId: 'drift', actions: ['alert', 'block'], matchedSelectors: ['drift'] }],
    },
  });
});

test('policies with faults end with 1 and the faults on standard error', async () => {
  const { code, stdout, stderr } = await explain({}, 'bad');
  assert.equal(code, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /broken\.yaml:1:\d+: error: .*\(POLICY_SECTION_INCOMPLETE\)/);
});

test('what cannot be read or understood ends with 2', async () => {
  writeFileSync(join(folder, 'two.yaml'), 'a: 1\n---\nb: 2\n');
  const cases: [Record<string, string>, RegExp][] = [
    [{ pod: 'missing.yaml' }, /FILE_UNREADABLE/],
    [{ pod: 'two.yaml' }, /is not one YAML document/],
    [{ pod: 'dropped.yaml' }, /neither a Pod nor a workload/],
    [{ event: 'pod.yaml' }, /USAGE/],
    [{ 'namespace-labels': 'team' }, /not key=value/],
    [{ output: 'xml' }, /Allowed choices are text, json/],
  ];
  for (const [flags, message] of cases) {
    const { code, stderr } = await explain(flags);
    assert.equal(code, 2);
    assert.match(stderr, message);
  }
});
