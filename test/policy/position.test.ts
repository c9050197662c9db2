import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDocument, Scalar, stringify } from 'yaml';
import { lineLocator, scalarLocator } from '../../src/policy/position.ts';

test('lines and columns count from one', () => {
  const locate = lineLocator('ab\r\n\nc');
  assert.deepEqual([0, 1, 3, 4, 5, 6].map(locate), [
    { line: 1, column: 1 },
    { line: 1, column: 2 },
    { line: 1, column: 4 },
    { line: 2, column: 1 },
    { line: 3, column: 1 },
    { line: 3, column: 2 },
  ]);
});

test('finds each character of an embedded text where it stands in the outer one', () => {
  const values = fc.array(fc.constantFrom('a', 'b: ', '"', "'", '\\', '\n', ' ', 'é', '😀', '#'), {
    minLength: 1,
  });
  const styles = fc.constantFrom('BLOCK_LITERAL', 'QUOTE_DOUBLE', 'QUOTE_SINGLE', 'PLAIN' as const);
  let exact = 0;
  fc.assert(
    fc.property(
      values.map((parts) => parts.join('')),
      styles,
      (value, type) => {
        const node = new Scalar(value);
        node.type = type as Scalar.Type;
        const text = `x: 1\nouter:\n  inner: ${stringify(node, { lineWidth: 0 }).trimEnd().replaceAll('\n', '\n    ')}\n`;
        const scalar = parseDocument(text).getIn(['outer', 'inner'], true);
        if (!(scalar instanceof Scalar) || typeof scalar.value !== 'string' || !scalar.range) return;
        const span = [scalar.range[0], scalar.range[1]] as const;
        const locate = scalarLocator(text, span, scalar.value, lineLocator(text));
        const begin = lineLocator(text)(span[0]);
        const lines = text.split('\n');
        for (const [index, character] of [...scalar.value.split('').entries()]) {
          const { line, column } = locate(index);
          if (!/[ab]/.test(character) || (line === begin.line && column === begin.column)) continue;
          exact += 1;
          assert.equal(lines[line - 1]?.[column - 1], character, text);
        }
      },
    ),
    { numRuns: 2_000 },
  );
  assert.ok(exact > 1_000);
});
