import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes, faultCodes, sourceFaultCodes } from '../../src/errors.ts';
import { failures } from '../../src/failures.ts';
import { sourceFiles, textOf } from './sources.ts';

const headingsBelow = (title: string): string[] => {
  const part =
    textOf('docs/errors.md')
      .split(/^## /m)
      .find((text) => text.startsWith(`${title}\n`)) ?? '';
  return [...part.matchAll(/^### (\S+)$/gm)].map(([, code]) => code ?? '');
};

const tables = { Faults: { ...faultCodes, ...sourceFaultCodes }, Errors: errorCodes, Failures: failures };

for (const [title, table] of Object.entries(tables)) {
  test(`docs/errors.md documents exactly the codes of the table: ${title}`, () => {
    assert.deepEqual(headingsBelow(title).sort(), Object.keys(table).sort());
  });

  test(`every code of the table is used: ${title}`, () => {
    const text = sourceFiles()
      .filter((file) => file !== 'src/errors.ts' && file !== 'src/failures.ts')
      .map(textOf)
      .join('\n');
    assert.deepEqual(
      Object.keys(table).filter((code) => !new RegExp(`\\b${code}\\b`).test(text)),
      [],
    );
  });
}
