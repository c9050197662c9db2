/** A policy's text as a tree in which every node knows its line and column. Says nothing yet of what the keys mean. */

import type { Fault } from './types.ts';

/** One-based, in UTF-16 code units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly value: string | number | bigint | boolean | null;
  /** The value as text, unquoted: `1.10` where `value` is the number 1.1. */
  readonly source: string;
  /** Where it stands in the text, quotes included: zero-based offsets of its begin and end. */
  readonly span: readonly [start: number, end: number];
  readonly at: Place;
}

export interface ListNode {
  readonly kind: 'list';
  readonly items: readonly TreeNode[];
  readonly at: Place;
}

export interface MapNode {
  readonly kind: 'map';
  /** A `Map`, so that a key such as `__proto__` is a key like any other. */
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly at: Place;
}

export interface MapEntry {
  readonly key: string;
  /** Of the key; the value has its own. */
  readonly at: Place;
  readonly value: TreeNode;
}

export type TreeNode = ScalarNode | ListNode | MapNode;

/** One policy taken out of its envelope. Made by `parse`. */
export interface PolicyDocument {
  readonly root: MapNode;
  /** Faults of the text that leave a tree to look at, such as a duplicate key. `validate` reports them too. */
  readonly faults: readonly Fault[];
}
