/** Who changes the form of a table changes what agents and keepers must have in common. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { speech } from '../../src/native/greeting.ts';

const read = (file: string, what: RegExp): string | undefined =>
  what.exec(readFileSync(join(import.meta.dirname, '../../src', file), 'utf8'))?.[1];

test('an agent and a keeper of the same sources speak alike, and of tables in the same form', () => {
  assert.equal(read('native/hello.h', /kSpeech = "([^"]+)"/), speech);
  const table = read('node/flatten.ts', /^const version = (\d+);$/m);
  assert.equal(read('native/table_reader.cc', /kVersion = (\d+);/), table);
  assert.equal(speech.split('.')[1], table);
});
