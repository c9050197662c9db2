import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { prefixTable } from '../../src/policy/prefixTable.ts';

const tableOf = (texts: Iterable<string>) => prefixTable(new Map([...texts].map((text) => [text, text])));

function prefixesOf(text: string, prefixes: Iterable<string>): string[] {
  const found: string[] = [];
  tableOf(prefixes).visit(text, (value) => found.push(value));
  return found;
}

test('gives the prefixes of a text, longest first', () => {
  const prefixes = ['', 'a', 'ab', 'abc', 'abd', 'b', 'ac'];
  assert.deepEqual(prefixesOf('abcd', prefixes), ['abc', 'ab', 'a', '']);
  assert.deepEqual(prefixesOf('abbz', prefixes), ['ab', 'a', '']);
  assert.deepEqual(prefixesOf('', prefixes), ['']);
  assert.deepEqual(prefixesOf('z', ['a', 'zz']), []);
  assert.deepEqual(prefixesOf('z', []), []);
});

test('equals trying every text, both ways', () => {
  // Also characters on both sides of the surrogates, which sort by code unit.
  const texts = fc
    .array(fc.constantFrom('a', 'b', '-', '\uffff', '😀'), { maxLength: 5 })
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(texts, fc.uniqueArray(texts, { maxLength: 30 }), (text, prefixes) => {
      const expected = prefixes
        .filter((prefix) => text.startsWith(prefix))
        .sort((a, b) => b.length - a.length);
      assert.deepEqual(prefixesOf(text, prefixes), expected);
      const longer: string[] = [];
      tableOf(prefixes).visitLonger(text, (value) => longer.push(value));
      assert.deepEqual(longer, prefixes.filter((other) => other.startsWith(text)).sort());
    }),
    { numRuns: 5_000 },
  );
});
