import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from '../../src/policy/parse.ts';
import { readPolicy } from '../../src/policy/read.ts';
import { root } from '../house/sources.ts';
import { assertLinear } from '../support/growth.ts';

/** Text of about that many bytes: a beginning, one part again and again, an end. */
const repeated =
  (begin: string, part: string, end = '') =>
  (bytes: number): string =>
    begin + part.repeat(Math.floor((bytes - begin.length - end.length) / part.length)) + end;

const listed = (bytes: number, width: number, entry: (index: number) => string): string =>
  Array.from({ length: Math.floor(bytes / width) }, (_, index) => entry(index)).join('');

const selector = ' selectors: [{name: s, operation: [createExecutable]}]\n';

const shapes: Record<string, (bytes: number) => string> = {
  'flow lists': repeated('', '['),
  'flow mappings': repeated('', '{'),
  'open pairs': repeated('', '{a: '),
  'block lists': repeated('', '- '),
  'block mappings': repeated('', 'a: '),
  'explicit keys': repeated('', '? '),
  'deeper lines': (bytes) => listed(Math.sqrt(2 * bytes), 1, (index) => `${' '.repeat(index)}a:\n`),
  'closing brackets': repeated('a: [', ']'),
  quotes: repeated('', '"'),
  'quotes on lines': repeated('a: ', '"\n'),
  'escaped quotes': repeated('"', '\\"'),
  anchors: repeated('', '&a '),
  'anchors and aliases': repeated('- &a b\n', '- *a\n'),
  tags: repeated('', '!t '),
  commas: repeated('[', ','),
  'scalars after a scalar': repeated('a: |\n x\n', '[\n'),
  'empty lines': repeated('', '\n'),
  comments: repeated('', '# x\n'),
  directives: repeated('', '%a\n'),
  documents: repeated('', '---\n'),
  'one word': repeated('', 'a'),
  'a folded text': repeated('file: >\n', '  a\n'),
  'duplicate keys': repeated('', 'a: 1\n'),
  'different keys': (bytes) => listed(bytes, 12, (index) => `key${index}: 1\n`),
  'embedded lists': (bytes) =>
    JSON.stringify({ vars: { configuration: { value: '- a\n'.repeat(bytes / 6) } } }),
  'faulty values': repeated('file:\n selectors: [{name: s, targetFilePath: [', 'a,', ']}]\n'),
  'faulty selectors': repeated('file: {selectors: [', '1,', ']}'),
  'unknown selectors': (bytes) =>
    `file:\n${selector} responses:\n - match:\n${listed(bytes, 12, (index) => `   - t${index}\n`)}   actions: [log]\n`,
  'many responses': repeated(
    `file:\n${selector} responses:\n`,
    ' - {match: [s], exclude: [s], actions: [log]}\n',
  ),
  'excludes that nearly cover': (bytes) => {
    const lists = Array.from({ length: 30 }, (_, number) =>
      listed(bytes / 30, 12, (index) => `/d${index}/${number}, `),
    );
    const selectors = lists.map(
      (list, number) => ` - {name: s${number}, targetFilePath: [${list}/z${number}]}\n`,
    );
    const half = (from: number) => Array.from({ length: 15 }, (_, index) => `s${from + index}`).join(', ');
    const responses = ` - {match: [${half(0)}], exclude: [${half(15)}], actions: [log]}\n`.repeat(30);
    return `file:\n selectors:\n${selectors.join('')} responses:\n${responses}`;
  },
};

for (const [name, make] of Object.entries(shapes)) {
  test(`twice the text takes at most twice the time: ${name}`, () => {
    const prepare = (bytes: number) => {
      const text = make(bytes - 64);
      return () => readPolicy(text, { mode: 'lenient' });
    };
    prepare(4096)();
    assertLinear(name, prepare, 1);
  });
}

test('nesting is refused before it can exhaust the stack', () => {
  for (const part of ['[', '{', '{a: ', '- ', 'a: ', '? ', '[[],', '{[]: ', '- - ? ']) {
    const { document, faults } = parse(part.repeat(1_000_000 / part.length));
    assert.equal(document, undefined, part);
    assert.equal(faults[0]?.code, 'POLICY_SYNTAX', part);
  }
});

test('at most 1,000 faults are listed, and one says how many are not', () => {
  const { faults } = readPolicy(repeated('file:\n selectors: [', '1,', ']\n')(100_000));
  assert.equal(faults.length, 1_001);
  assert.match(faults.at(-1)?.message ?? '', /^1000 faults are listed, and \d+ more are not$/);
  assert.equal(faults.at(-1)?.severity, 'error');
});

function assertTotal(text: string): void {
  for (const mode of ['strict', 'lenient'] as const) {
    const { policy, faults } = readPolicy(text, { mode });
    assert.equal(
      policy === undefined,
      faults.some(({ severity }) => severity === 'error'),
    );
    for (const { line, column, message, path } of faults) {
      assert.ok(line >= 1 && column >= 1, `${line}:${column}`);
      assert.doesNotMatch(message + path, /[\n\r]/);
    }
    const places = faults.map(({ line, column }) => line * 10_000 + column);
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    );
  }
  const { document, faults } = parse(text);
  assert.ok(document !== undefined || faults.length > 0);
}

test('any text gives a policy or a fault, and never throws', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), assertTotal), { numRuns: 2_000 });
});

test('any text of YAML’s own characters gives a policy or a fault, and never throws', () => {
  const parts = [
    '[',
    ']',
    '{',
    '}',
    ': ',
    '- ',
    '? ',
    ',',
    '\n',
    '  ',
    '\t',
    '"',
    "'",
    '|',
    '>',
    '&a ',
    '*a',
    '!',
    '#',
    '%',
    '---\n',
  ];
  const words = [
    'file',
    'process',
    'selectors',
    'responses',
    'name',
    'match',
    'a',
    '1',
    'true',
    '<<',
    '__proto__',
    '~',
  ];
  const texts = fc.array(fc.constantFrom(...parts, ...words), { maxLength: 40 }).map((list) => list.join(''));
  fc.assert(fc.property(texts, assertTotal), { numRuns: 5_000 });
});

const folder = join(root, 'test/fixtures/policies/valid');
const valid = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));

test('a policy with a part cut out, doubled or replaced gives a policy or a fault, and never throws', () => {
  const filling = fc.constantFrom(
    '',
    ' ',
    '\n',
    ':',
    '- ',
    '[',
    ']',
    '"',
    '*',
    'é',
    '\0',
    '\ud800',
    '1',
    'null',
    '&a ',
    '*a ',
  );
  const mutated = fc
    .record({
      text: fc.constantFrom(...valid),
      at: fc.nat(2_000),
      length: fc.nat(40),
      filling,
      double: fc.boolean(),
    })
    .map(({ text, at, length, filling, double }) => {
      const start = at % text.length;
      const cut = text.slice(start, start + length);
      return text.slice(0, start) + filling + (double ? cut + cut : '') + text.slice(start + length);
    });
  fc.assert(fc.property(mutated, assertTotal), { numRuns: 3_000 });
});
