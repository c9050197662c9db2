import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { printable, quote, quoteAll } from '../../src/policy/quote.ts';

test('puts the words of the author into backticks', () => {
  assert.equal(quote('a b'), '`a b`');
  assert.equal(quoteAll(['a'], 'and'), '`a`');
  assert.equal(quoteAll(['a', 'b', 'c'], 'or'), '`a`, `b` or `c`');
});

test('shows what cannot be seen, and shortens what is long', () => {
  assert.equal(printable('a\nb\u202ec\u001b'), 'a\\u{a}b\\u{202e}c\\u{1b}');
  assert.equal(printable('x'.repeat(101)), `${'x'.repeat(100)}…`);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) =>
      assert.match(printable(text), /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]*$/u),
    ),
  );
});
