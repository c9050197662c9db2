import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, textOf } from './sources.ts';

const rows = textOf('docs/threat-model.md')
  .split('\n')
  .flatMap((line) => {
    const [, id, ...cells] = /^\| (\d+) \| (.+) \| (.+) \| (.+) \|$/.exec(line) ?? [];
    return id === undefined ? [] : [{ id: Number(id), shownBy: cells.at(-1) ?? '' }];
  });

test('the threat model has a row for each of the 18 threats', () => {
  assert.deepEqual(
    rows.map(({ id }) => id),
    Array.from({ length: 18 }, (_, index) => index + 1),
  );
});

test('every row of the threat model names tests that exist', () => {
  for (const { id, shownBy } of rows) {
    for (const part of shownBy.split('; ')) {
      const [, file = '', title = ''] = /^`(test\/[^`]+\.test\.ts)`: "([^"]+)"$/.exec(part) ?? [];
      assert.ok(file !== '' && existsSync(join(root, file)), `row ${id}: no test file in: ${part}`);
      const text = textOf(file).replaceAll("\\'", "'");
      const isTitle = ["'", '"', '`'].some((quote) => text.includes(`${quote}${title}`));
      assert.ok(isTitle, `row ${id}: \`${file}\` has no test titled "${title}"`);
    }
  }
});
