/** Texts for people and logs, cut to what an API server passes on. */

/** Of all warnings of one answer: with 4,096 characters an API server begins to cut lines at 256, and to drop them. */
const maxTotal = 3_500;
const maxLine = 900;
const maxIds = 10;

/** The text, cut to so many characters (default: 1,000). */
export function shortened(text: string, maxCharacters = 1_000): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters - 1)}…`;
}

/** The lines as far as they fit, and how many did not. */
export function boundedWarnings(lines: readonly string[]): string[] {
  const shown: string[] = [];
  let total = 0;
  for (const [index, line] of lines.entries()) {
    const text = shortened(line, maxLine);
    total += text.length;
    if (total > maxTotal) return [...shown, `and ${lines.length - index} more warnings`];
    shown.push(text);
  }
  return shown;
}

/** Policy IDs in backticks, the first ten. */
export function listed(ids: readonly string[]): string {
  const shown = ids.slice(0, maxIds).map((id) => `\`${shortened(id, 63)}\``);
  const more = ids.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
