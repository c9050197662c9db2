/** The author's text inside a one-line message. */

const longest = 100;

/** The text on one line, with nothing invisible, and at most 100 characters of it. */
export function printable(text: string): string {
  const visible = text
    .slice(0, longest)
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return text.length > longest ? `${visible}…` : visible;
}

/** The author's words in backticks. */
export function quote(text: string): string {
  return `\`${printable(text)}\``;
}

/** Quoted words as an English list: "`a`, `b` and `c`". */
export function quoteAll(words: readonly string[], conjunction: 'and' | 'or'): string {
  const quoted = words.map(quote);
  const last = quoted.pop() ?? '';
  return quoted.length === 0 ? last : `${quoted.join(', ')} ${conjunction} ${last}`;
}
