/**
 * Path patterns. `*` stands for any characters of one component, `**` for whole components; every other
 * character stands for itself. Paths are absolute and resolved: no empty, `.` or `..` component.
 * Source: policy-language.md sections 2 and 4. The reference is picomatch; `parseGlob` is what the trie of
 * this folder and the table in C++ are made of, and means the same.
 */

import picomatch from 'picomatch';

export type GlobComponent =
  | { readonly kind: 'text'; readonly text: string }
  /** The text between the stars, at least two pieces: `*.conf` is `['', '.conf']`. */
  | { readonly kind: 'stars'; readonly pieces: readonly string[] }
  /** `**`: any number of components, also none; as the last component of a pattern, at least one. */
  | { readonly kind: 'deep' };

/**
 * The components of a pattern, from the root. Adjacent `**` are one. A first `**` asks for at least one
 * component, as picomatch has it (`/a` is not matched by `**` and `a`). This is written out as `*` and `**`, so
 * that a `deep` component means one thing unless it is the last.
 */
export function parseGlob(pattern: string): GlobComponent[] {
  const parts = pattern.slice(1).split('/');
  const components = parts
    .filter((part, index) => part !== '**' || parts[index - 1] !== '**')
    .map(parseComponent);
  const [first] = components;
  if (first?.kind === 'deep' && components.length > 1) components.unshift(parseComponent('*'));
  return components;
}

function parseComponent(text: string): GlobComponent {
  if (text === '**') return { kind: 'deep' };
  return text.includes('*') ? { kind: 'stars', pieces: text.split('*') } : { kind: 'text', text };
}

/** Whether one component of a path consists of the pieces with anything between them. Takes the leftmost fit of each. */
export function componentFits(pieces: readonly string[], component: string): boolean {
  const last = pieces.length - 1;
  const [head = '', tail = ''] = [pieces[0], pieces[last]];
  const end = component.length - tail.length;
  if (end < head.length || !component.startsWith(head) || !component.endsWith(tail)) return false;
  let at = head.length;
  for (const piece of pieces.slice(1, last)) {
    const found = component.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}

/** The reference: a test of paths by picomatch. Build once, use often. Time may grow fast with several `**`. */
export function pathMatcher(pattern: string): (path: string) => boolean {
  // `flags: 's'`: a name may hold a line feed. `strictSlashes`: `/d/**` does not match `/d`.
  const expression = picomatch.makeRe(literalButStars(pattern), {
    dot: true,
    flags: 's',
    strictSlashes: true,
  });
  return (path) => path !== '/' && expression.test(withoutBackslashes(path));
}

/** Leaves only `*` with a meaning to picomatch. */
function literalButStars(pattern: string): string {
  return withoutBackslashes(pattern).replace(/[?[\]{}()!+@|"^$,~]/g, '\\$&');
}

/** picomatch folds runs of backslashes. Half a surrogate pair stands in for them: decoded text never holds one. */
function withoutBackslashes(text: string): string {
  return text.replaceAll('\\', '\ud800');
}
