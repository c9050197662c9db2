/** Whether all that one value of a condition stands for, another list of values stands for too. */

/** What the values of one list stand for. Built once per list, in the time that sorting it takes. */
export interface ValueCover {
  /** `false` where it cannot be told. */
  readonly covers: (value: string) => boolean;
}

/** Values that stand for themselves alone. */
export function literalCover(values: readonly string[]): ValueCover {
  const all = new Set(values);
  return { covers: (value) => all.has(value) };
}

/** Values of which a `*` at the end stands for any ending: pod names and pod labels. */
export function prefixCover(values: readonly string[]): ValueCover {
  const all = new Set(values);
  const hasPrefix = prefixSearch(
    values.filter((value) => value.endsWith('*')).map((value) => value.slice(0, -1)),
  );
  return { covers: (value) => all.has(value) || hasPrefix(value.replace(/\*$/, '')) };
}

/** Path patterns: each stands for itself, `/d/*` for what is in `/d`, `/d/**` for all below it. */
export function pathCover(values: readonly string[]): ValueCover {
  const all = new Set(values);
  // After `**` another `**` need not stand for a component, so nothing is said there.
  const trees = values.filter((value) => value.endsWith('/**') && !value.endsWith('**/**'));
  const isBelow = prefixSearch(trees.map((value) => value.slice(0, -2)));
  const isIn = (value: string) =>
    !value.endsWith('/**') && all.has(`${value.slice(0, value.lastIndexOf('/'))}/*`);
  return { covers: (value) => all.has(value) || isBelow(value) || isIn(value) };
}

/** Tells whether a text begins with any of the prefixes, by one binary search. */
function prefixSearch(prefixes: readonly string[]): (text: string) => boolean {
  const shortest: string[] = [];
  for (const prefix of prefixes.toSorted()) {
    const last = shortest.at(-1);
    if (last === undefined || !prefix.startsWith(last)) shortest.push(prefix);
  }
  return (text) => {
    // Of prefixes that do not begin with one another, only the last that sorts before the text can fit.
    let first = 0;
    let end = shortest.length;
    while (first < end) {
      const middle = (first + end) >> 1;
      if ((shortest[middle] ?? '') <= text) first = middle + 1;
      else end = middle;
    }
    const candidate = shortest[first - 1];
    return candidate !== undefined && text.startsWith(candidate);
  };
}
