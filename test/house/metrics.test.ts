import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceFiles, textOf } from './sources.ts';

/** `name{label,label}` of every metric that the sources declare. */
const declared = sourceFiles().flatMap((file) =>
  [...textOf(file).matchAll(/new (?:Counter|Gauge|Histogram)\(\{\s*name: '(\w+)',[\s\S]*?\n\}\)/g)].map(
    ([text, name]) => {
      const labels = /labelNames: \[([^\]]*)\]/.exec(text)?.[1] ?? '';
      return withLabels(name ?? '', labels.replaceAll(/[' ]/g, ''));
    },
  ),
);

function withLabels(name: string, labels = ''): string {
  return labels === '' ? name : `${name}{${labels}}`;
}

test('docs/operations.md has exactly the metrics that there are, with their labels', () => {
  const [, section = ''] = textOf('docs/operations.md').split('\n## Metrics\n');
  const rows =
    section
      .split('\n## ')[0]
      ?.split('\n')
      .filter((line) => line.startsWith('| `')) ?? [];
  const documented = rows.flatMap((row) =>
    [...(row.split(' | ')[0] ?? '').matchAll(/`(d4c_gate_\w+)(?:\{([\w,]+)\})?`/g)].map(([, name, labels]) =>
      withLabels(name ?? '', labels),
    ),
  );
  assert.ok(declared.length >= 10, 'the declarations were not found');
  assert.deepEqual(documented.sort(), declared.sort());
});
