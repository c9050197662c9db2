import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxTextBytes, parse } from '../../src/policy/parse.ts';
import type { TreeNode } from '../../src/policy/tree.ts';

/** The tree as plain values, without places. */
function plain(node: TreeNode | undefined): unknown {
  if (node === undefined) return undefined;
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(plain);
  return Object.fromEntries([...node.entries.values()].map(({ key, value }) => [key, plain(value)]));
}

const parsed = (text: string): unknown => plain(parse(text).document?.root);

/** `line:column CODE` of each fault. */
const placed = (text: string): string[] =>
  parse(text).faults.map(({ line, column, code }) => `${line}:${column} ${code}`);

test('takes a policy out of each envelope', () => {
  const policy = { file: { selectors: ['s'] } };
  const envelopes: Record<string, unknown> = {
    bare: policy,
    resource: {
      apiVersion: 'd4c-gate.io/v1alpha1',
      kind: 'ContainerPolicy',
      metadata: { name: 'a' },
      spec: policy,
    },
    'agent policy': { id: 'x', inputs: [{ type: 'logfile' }, { streams: [{ 'security-policy': policy }] }] },
    'list of inputs': [{ streams: [{ 'security-policy': policy }] }],
    input: { type: 'cloud_defend/control', streams: [{ id: 1 }, { 'security-policy': policy }] },
    stream: { data_stream: {}, 'security-policy': policy },
    'package policy': {
      inputs: [{ vars: { configuration: { type: 'yaml', value: 'file: {selectors: [s]}' } } }],
    },
    'same policy in several streams': {
      inputs: [{ streams: [{ 'security-policy': policy }, { 'security-policy': policy }, {}] }],
    },
  };
  for (const [name, envelope] of Object.entries(envelopes)) {
    const { document, faults } = parse(JSON.stringify(envelope));
    assert.deepEqual(faults, [], name);
    assert.deepEqual(plain(document?.root), policy, name);
  }
});

test('a policy of its own wins over what looks like an envelope', () => {
  assert.deepEqual(parsed('file: 1\nspec: {process: 2}\ninputs: []'), {
    file: 1,
    spec: { process: 2 },
    inputs: [],
  });
});

test('refuses what holds no policy, another kind, or several policies', () => {
  const table: [text: string, fault: string, because: string][] = [
    ['', '1:1 POLICY_EMPTY', 'no text'],
    ['# nothing', '1:1 POLICY_EMPTY', 'a comment is no content'],
    ['---\n...\n', '1:1 POLICY_EMPTY', 'an empty document'],
    ['inputs: []', '1:1 POLICY_EMPTY', 'no input has one'],
    ['inputs: [{streams: [{security-policy: }]}]', '1:1 POLICY_EMPTY', 'the stream has the key alone'],
    ['kind: ContainerPolicy\nspec:', '1:1 POLICY_EMPTY', 'the resource has the key alone'],
    ['kind: Pod\nspec: {}', '1:7 POLICY_SYNTAX', 'a pod is no policy'],
    ['[]', '1:1 POLICY_SYNTAX', 'a list'],
    ['text', '1:1 POLICY_SYNTAX', 'text'],
    ['12', '1:1 POLICY_SYNTAX', 'a number'],
    ['kind: ContainerPolicy\nspec: [a]', '2:7 POLICY_SYNTAX', 'a list in the envelope'],
    ['file: {}\n---\nfile: {}', '2:1 POLICY_SYNTAX', 'two YAML documents'],
    [
      'streams:\n- security-policy: {file: 1}\n- security-policy: {file: 2}',
      '3:20 POLICY_SYNTAX',
      'two streams that differ',
    ],
  ];
  for (const [text, fault, because] of table) {
    assert.deepEqual(placed(text), [fault], because);
    if (!because.startsWith('two streams')) assert.equal(parse(text).document, undefined, because);
  }
});

test('says where the text stops being YAML', () => {
  const table: [text: string, fault: string, because: string][] = [
    ['file:\n  selectors: [a\n', '3:1 POLICY_SYNTAX', 'an unclosed list ends with the text'],
    ['file: {\n', '2:1 POLICY_SYNTAX', 'an unclosed mapping'],
    ['file:\n\t- a', '2:1 POLICY_SYNTAX', 'a tab as indentation'],
    ['file:\r\n\t- a', '2:1 POLICY_SYNTAX', 'lines may end in CRLF'],
    ['x:\n  y: 1\n z: 2', '3:1 POLICY_SYNTAX', 'a line between two indentations'],
    ['a: "x', '1:6 POLICY_SYNTAX', 'an unclosed quote'],
    ['a: "\\q"', '1:5 POLICY_SYNTAX', 'an escape that YAML does not have'],
    ['"\\UFFFFFFFF": 1', '1:2 POLICY_SYNTAX', 'a character that does not exist'],
    ['\0', '1:1 POLICY_SYNTAX', 'NUL'],
    ['a: b\x02', '1:5 POLICY_SYNTAX', "a signal of the parser's own"],
    ['a: \x1f', '1:4 POLICY_SYNTAX', 'another'],
    ['a: \ud800b', '1:4 POLICY_SYNTAX', 'half of a surrogate pair'],
    ['a: !custom b', '1:4 POLICY_SYNTAX', 'a tag of somebody else'],
    ['a: !!binary aGk=', '1:13 POLICY_SYNTAX', 'a tag that makes no text'],
    ['a: *b', '1:4 POLICY_SYNTAX', 'an alias without an anchor'],
    ['&a [*a]', '1:5 POLICY_SYNTAX', 'an alias to what it stands in'],
    ['? [a]\n: b', '1:3 POLICY_SYNTAX', 'a list as a key'],
    ['x: &x {a: 1}\nfile:\n  <<: *x', '3:3 POLICY_SYNTAX', 'a merge key'],
    ['file: 1\nfile: 2', '2:1 POLICY_SYNTAX', 'a duplicate key'],
    ['%FOO\n---\nfile: 1', '1:1 POLICY_SYNTAX', 'a directive that YAML does not have'],
  ];
  for (const [text, fault, because] of table) assert.deepEqual(placed(text), [fault], because);
});

test('reports every duplicate key, and keeps the first', () => {
  const { document, faults } = parse('file: {a: 1, a: 2}\nb: 1\nb: 2\n');
  assert.deepEqual(
    faults.map(({ line, column }) => [line, column]),
    [
      [1, 14],
      [3, 1],
    ],
  );
  assert.deepEqual(plain(document?.root), { file: { a: 1 }, b: 1 });
  assert.equal(document?.faults.length, 2);
});

test('a byte order mark and CRLF change neither the policy nor the places', () => {
  assert.deepEqual(parsed('\uFEFFfile:\r\n  a: "1"\r\n'), { file: { a: '1' } });
  assert.deepEqual(placed('\uFEFFfile: 1\r\nfile: 2\r\n'), ['2:1 POLICY_SYNTAX']);
});

test("keys that are names of JavaScript's own objects are keys like any other", () => {
  const { document } = parse('__proto__: {a: 1}\nconstructor: 1\ntoString: 2\nhasOwnProperty: 3\n');
  assert.deepEqual(
    [...(document?.root.entries.keys() ?? [])],
    ['__proto__', 'constructor', 'toString', 'hasOwnProperty'],
  );
  assert.equal(({} as Record<string, unknown>).a, undefined);
});

test('keys that YAML reads as numbers or nothing are taken as they are written', () => {
  const { document } = parse('1: a\n1.10: b\ntrue: c\n~: d\n? \n: e\n');
  assert.deepEqual([...(document?.root.entries.keys() ?? [])], ['1', '1.10', 'true', '~', '']);
});

test('aliases stand for what they name, up to 10,000 values', () => {
  assert.deepEqual(parsed('file: &f {a: [1, 2]}\nprocess: *f\n'), {
    file: { a: [1, 2] },
    process: { a: [1, 2] },
  });
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
  for (let level = 0; level < 25; level += 1) {
    const [before, name] = [String.fromCharCode(97 + level), String.fromCharCode(98 + level)];
    bomb.push(`${name}: &${name} [${Array(10).fill(`*${before}`).join(', ')}]`);
  }
  const { document, faults } = parse(bomb.join('\n'));
  assert.equal(document, undefined);
  assert.deepEqual(
    faults.map(({ code, line }) => `${line} ${code}`),
    ['4 POLICY_SYNTAX'],
  );
});

test('an anchor that is set again names the later value', () => {
  assert.deepEqual(parsed('a: &x 1\nb: *x\nc: &x 2\nd: *x\n'), { a: 1, b: 1, c: 2, d: 2 });
});

test('values are text, numbers or truth values as YAML 1.2 reads them', () => {
  const text = 'a: 1.25\nb: "1.25"\nc: yes\nd: true\ne: !!str 1\nf: 0x1F\ng: null\nh: 2001-01-01\n';
  const values = { a: 1.25, b: '1.25', c: 'yes', d: true, e: '1', f: 31, g: null, h: '2001-01-01' };
  assert.deepEqual(parsed(text), values);
  assert.deepEqual(parsed('%YAML 1.1\n---\nh: 2001-01-01\n'), { h: '2001-01-01' });
});

test('faults inside an embedded policy have their places in the outer text', () => {
  const literal = 'inputs:\n- vars:\n    configuration:\n      value: |\n        file: 1\n        file: 2\n';
  assert.deepEqual(placed(literal), ['6:9 POLICY_SYNTAX']);
  const json = JSON.stringify({
    inputs: [{ vars: { configuration: { value: 'a: "é"\n"file": 1\n"file": 2' } } }],
  });
  assert.deepEqual(placed(json), [`1:${json.lastIndexOf('\\"file') + 1} POLICY_SYNTAX`]);
  const single = "vars: {configuration: {value: '{''a'': 1, a: 2}'}}";
  assert.deepEqual(placed(single), [`1:${single.indexOf('a: 2') + 1} POLICY_SYNTAX`]);
  const folded = 'vars:\n  configuration:\n    value: >\n      {a: 1,\n      a: 2}\n';
  assert.deepEqual(placed(folded), ['3:12 POLICY_SYNTAX']);
});

test('a text of 1 MiB is read, and one byte more is refused', () => {
  const text = 'file: {}\n';
  const padded = (bytes: number) => `${text}#${'é'.repeat((bytes - text.length - 1) / 2)}`;
  assert.deepEqual(parse(padded(maxTextBytes)).faults, []);
  assert.deepEqual(placed(padded(maxTextBytes + 2)), ['1:1 POLICY_SYNTAX']);
});

test('messages are one line of printable text, however the author wrote', () => {
  for (const text of [
    `kind: "a\\nb\\u001b[31m\\u202e${'x'.repeat(500)}"`,
    'a: !\u200bx b',
    `"${'k'.repeat(3000)}`,
  ]) {
    for (const { message } of parse(text).faults) {
      assert.match(message, /^[\P{C}]{1,200}$/u);
    }
  }
});
