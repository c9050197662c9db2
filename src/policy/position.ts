/** From an offset in a text to a line and a column, also for a text that stands inside another. */

import type { Place } from './tree.ts';

/** Place of a position in a text, given as a zero-based count of UTF-16 code units. */
export type Locate = (offset: number) => Place;

/** Lines end at a line feed, as in YAML; a carriage return before it is the last column of its line. */
export function lineLocator(text: string): Locate {
  const starts = [0];
  for (let feed = text.indexOf('\n'); feed >= 0; feed = text.indexOf('\n', feed + 1)) starts.push(feed + 1);
  return (offset) => {
    let first = 0;
    let last = starts.length - 1;
    while (first < last) {
      const middle = (first + last + 1) >> 1;
      if ((starts[middle] ?? 0) <= offset) first = middle;
      else last = middle - 1;
    }
    return { line: first + 1, column: offset - (starts[first] ?? 0) + 1 };
  };
}

/**
 * Places in `text` of what a YAML scalar of it says, for a scalar that holds YAML itself. Exact for block literals
 * and for scalars on one line, JSON's among them; for folded ones it is the place where the scalar begins.
 */
export function scalarLocator(
  text: string,
  span: readonly [start: number, end: number],
  value: string,
  locate: Locate,
): Locate {
  const [start, end] = span;
  const written = text.slice(start, end);
  if (written.startsWith('|')) return literalLocator(written, value, locate(start));
  const offsets = written.includes('\n') ? undefined : offsetsIn(written);
  if (offsets?.length !== value.length + 1) return () => locate(start);
  return (offset) => locate(start + (offsets[offset] ?? 0));
}

function literalLocator(written: string, value: string, header: Place): Locate {
  // Where the header names the indentation, lines of the value may begin with spaces of their own.
  const firstLine = /\n( *)[^ \r\n]/;
  const indent =
    (firstLine.exec(written)?.[1] ?? '').length - (firstLine.exec(`\n${value}`)?.[1] ?? '').length;
  const locateLine = lineLocator(value);
  return (offset) => {
    const { line, column } = locateLine(offset);
    return { line: header.line + line, column: column + indent };
  };
}

/** For each code unit of the scalar's value, and for its end, the offset in what is written. */
function offsetsIn(written: string): number[] {
  const quote = written[0];
  if (quote !== '"' && quote !== "'") return Array.from({ length: written.length + 1 }, (_, index) => index);
  const offsets: number[] = [];
  let at = 1;
  while (at < written.length - 1) {
    offsets.push(at);
    const length = writtenLength(written, at, quote);
    // A character beyond the basic plane is two units of the value from one escape.
    if (length === 10 && Number.parseInt(written.slice(at + 2, at + 10), 16) > 0xffff) offsets.push(at);
    at += length;
  }
  offsets.push(at);
  return offsets;
}

function writtenLength(written: string, at: number, quote: string): number {
  if (quote === "'") return written.startsWith("''", at) ? 2 : 1;
  if (written[at] !== '\\') return 1;
  return { x: 4, u: 6, U: 10 }[written[at + 1] ?? ''] ?? 2;
}
