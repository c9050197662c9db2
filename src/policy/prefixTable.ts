/** Finds which of many texts begin another, or begin with it, in time that hardly grows with their number. */

export interface PrefixTable<T> {
  /** Gives the value of every prefix that the text begins with, longest first. The empty prefix begins every text. */
  visit(text: string, found: (value: T) => void): void;
  /** Gives the value of every entry that begins with the text, the text itself included. */
  visitLonger(text: string, found: (value: T) => void): void;
}

/**
 * Sorted, all prefixes of a text lie before it, and whatever stands between one of them and the text begins with it
 * too. So each entry knows the longest other one that begins it, and the chain from the last entry before the text
 * holds all prefixes of the text, of which the shorter ones follow without a further look.
 */
export function prefixTable<T>(entries: ReadonlyMap<string, T>): PrefixTable<T> {
  const texts = [...entries.keys()].sort();
  const values = texts.map((text) => entries.get(text) as T);
  const outer = new Int32Array(texts.length);
  const open: number[] = [];
  texts.forEach((text, index) => {
    while (open.length > 0 && !text.startsWith(texts[open.at(-1) ?? 0] ?? '')) open.pop();
    outer[index] = open.at(-1) ?? -1;
    open.push(index);
  });
  return {
    visit(text, found) {
      let begins = false;
      for (let at = lastUpTo(texts, text); at >= 0; at = outer[at] ?? -1) {
        begins ||= text.startsWith(texts[at] ?? '');
        if (begins) found(values[at] as T);
      }
    },
    visitLonger(text, found) {
      const last = lastUpTo(texts, text);
      for (let at = texts[last] === text ? last : last + 1; texts[at]?.startsWith(text); at++) {
        found(values[at] as T);
      }
    },
  };
}

/** Index of the last of the sorted texts that is not after `text`, or -1. */
function lastUpTo(texts: readonly string[], text: string): number {
  let [from, to] = [0, texts.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((texts[middle] ?? '') <= text) from = middle + 1;
    else to = middle;
  }
  return from - 1;
}
