import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { maxTextBytes } from '../../src/policy/parse.ts';
import { readPolicy, readPolicyJson } from '../../src/policy/read.ts';
import { root } from '../house/sources.ts';
import { assertLinear } from '../support/growth.ts';

const withoutPlace = ({ policy, faults }: ReturnType<typeof readPolicy>) => ({
  policy,
  faults: faults.map(({ line: _line, column: _column, ...fault }) => fault),
});

function assertSame(value: unknown, what: string): void {
  const text = JSON.stringify(value);
  for (const mode of ['strict', 'lenient'] as const) {
    const [expected, found] = [readPolicy, readPolicyJson].map((read) => withoutPlace(read(text, { mode })));
    assert.deepEqual(found, expected, `${mode}: ${what}`);
  }
}

const selector = { name: 's', operation: ['exec'] };
const response = { match: ['s'], actions: ['log'] };
const policyWith = (more: object, of: object = response) => ({
  process: { selectors: [{ ...selector, ...more }], responses: [of] },
});

const values: readonly (readonly [string, unknown])[] = [
  ['null', null],
  ['a list', []],
  ['a text', 'file'],
  ['an empty object', {}],
  ['nothing in a section', { file: null, process: {} }],
  ['numbers', policyWith({ containerImageTag: [1, 1.5, 1e21, -0, 'x'] })],
  ['null among values', policyWith({ kubernetesNamespace: [null, true, {}] })],
  ['a number as a list', policyWith({ kubernetesNamespace: 7 })],
  ['a number as a name', policyWith({ name: 7 })],
  ['unknown keys and names', policyWith({ operaton: ['exec'] }, { match: ['t'], actions: ['blok'] })],
  ['keys of every object', policyWith({ ['__proto__']: 1, constructor: 2, '': 4, 'a b': 5 })],
  [
    'texts with quotes, escapes and other scripts',
    policyWith({ kubernetesNamespace: ['"', '\\', 'é\n\u0007\u2028😀\ud800'] }),
  ],
  ['a policy of its kind around it', { kind: 'ContainerPolicy', spec: policyWith({}) }],
  ['another kind', { kind: 'Pod', spec: policyWith({}) }],
  [
    'an Elastic agent policy with the policy in a text',
    { inputs: [{ 'security-policy': JSON.stringify(policyWith({})) }] },
  ],
];

for (const [what, value] of values) {
  test(`JSON says the same as YAML of the same text: ${what}`, () => assertSame(value, what));
}

test('JSON says the same as YAML of the same text: every fixture and vector', () => {
  const folder = join(root, 'test/fixtures/policies');
  const texts = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => readFileSync(join(folder, name), 'utf8'));
  const { cases }: { cases: { policy: string }[] } = JSON.parse(
    readFileSync(join(root, 'test/fixtures/vectors/policy-validation.json'), 'utf8'),
  );
  let compared = 0;
  for (const text of [...texts, ...cases.map(({ policy }) => policy)]) {
    let value: unknown;
    try {
      value = parseYaml(text);
    } catch {
      // What is no YAML is no JSON.
      continue;
    }
    assertSame(value, text);
    compared += 1;
  }
  assert.ok(compared > 100, String(compared));
});

test('a merge key is a key like any other, which names its place', () => {
  const { faults } = readPolicyJson(JSON.stringify(policyWith({ '<<': 3 })));
  assert.deepEqual(
    faults.map(({ code, path }) => [code, path]),
    [['POLICY_UNKNOWN_KEY', 'process.selectors[0]["<<"]']],
  );
});

test('what is nested too deep, or too long, is refused unread', () => {
  const deep = `${'['.repeat(5_000)}${']'.repeat(5_000)}`;
  assert.match(readPolicyJson(`{"file":${deep}}`).faults[0]?.message ?? '', /more than 100 levels/);
  const long = JSON.stringify({ file: 'x'.repeat(maxTextBytes) });
  assert.match(readPolicyJson(long).faults[0]?.message ?? '', /bytes long/);
});

test('takes time linear in the text', () => {
  assertLinear('JSON policy', (bytes) => {
    const names = Array.from({ length: bytes / 12 }, (_, index) => `n-${index}`);
    const text = JSON.stringify(policyWith({ kubernetesNamespace: names }));
    return () => readPolicyJson(text);
  });
});
