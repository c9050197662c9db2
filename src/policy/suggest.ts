/** "Did you mean ...?" */

/** Longer words get no suggestion, so that a hostile policy cannot make many long comparisons. */
const maxLength = 48;
const maxCandidates = 128;

/**
 * The candidate that was probably meant, or `undefined`: the nearest by insertions, deletions, replacements and
 * swaps of neighbours, within a third of the word's length and at most 3, ignoring case.
 */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length > maxLength) return undefined;
  const lower = word.toLowerCase();
  let nearest: string | undefined;
  let limit = Math.min(3, Math.floor(word.length / 3));
  let compared = 0;
  for (const candidate of candidates) {
    compared += 1;
    if (compared > maxCandidates) break;
    if (candidate === word || Math.abs(candidate.length - word.length) > limit) continue;
    const found = distance(lower, candidate.toLowerCase());
    if (found > limit) continue;
    nearest = candidate;
    // The next one has to be nearer.
    limit = found - 1;
  }
  return nearest;
}

/** Optimal string alignment distance, three rows at a time. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1;
      const swapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      current.push(
        Math.min(
          at(above, column) + 1,
          at(current, column - 1) + 1,
          at(above, column - 1) + cost,
          swapped ? at(before, column - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    before = above;
    above = current;
  }
  return at(above, b.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
