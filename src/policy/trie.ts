/**
 * Finds the selectors whose path condition holds in one walk over a path. The nodes lie in one array and refer
 * to each other by index, so that the table in C++ can be written from them as they are.
 */

import { componentFits, type GlobComponent, parseGlob } from './glob.ts';

export interface TrieNode {
  /** Selectors of patterns that end here: bit n stands for selector n. */
  readonly accept: bigint;
  /** Selectors of patterns that end here in `**`: every path further down fits. */
  readonly below: bigint;
  readonly children: ReadonlyMap<string, number>;
  readonly stars: readonly { readonly pieces: readonly string[]; readonly child: number }[];
  /** The node that a `**` leads to without a component taken, or -1. */
  readonly deep: number;
  /** Whether it was reached by `**`, and so stays reached whatever component comes. */
  readonly stays: boolean;
}

/** `nodes[0]` is the root. */
export interface PathTrie {
  readonly nodes: readonly TrieNode[];
}

/** One pattern of a selector; `selector` is its index, 0 to 63. */
export interface PathRule {
  readonly selector: number;
  readonly pattern: string;
}

interface GrowingNode extends TrieNode {
  accept: bigint;
  below: bigint;
  children: Map<string, number>;
  stars: { pieces: readonly string[]; child: number }[];
  deep: number;
}

export function buildTrie(rules: readonly PathRule[]): PathTrie {
  const nodes: GrowingNode[] = [];
  const grow = (stays: boolean): number => {
    nodes.push({ accept: 0n, below: 0n, children: new Map(), stars: [], deep: -1, stays });
    return nodes.length - 1;
  };
  grow(false);
  for (const { selector, pattern } of rules) insert(nodes, grow, parseGlob(pattern), 1n << BigInt(selector));
  return { nodes };
}

function insert(
  nodes: GrowingNode[],
  grow: (stays: boolean) => number,
  components: readonly GlobComponent[],
  bit: bigint,
): void {
  let node = nodes[0];
  for (const [index, component] of components.entries()) {
    if (node === undefined) return;
    if (component.kind === 'deep' && index === components.length - 1) {
      node.below |= bit;
      return;
    }
    node = nodes[childOf(node, component, grow)];
  }
  if (node !== undefined) node.accept |= bit;
}

/** The node that a component leads to, made when it is not there yet. */
function childOf(node: GrowingNode, component: GlobComponent, grow: (stays: boolean) => number): number {
  switch (component.kind) {
    case 'deep':
      if (node.deep < 0) node.deep = grow(true);
      return node.deep;
    case 'text': {
      const child = node.children.get(component.text) ?? grow(false);
      node.children.set(component.text, child);
      return child;
    }
    case 'stars': {
      const { pieces } = component;
      const same = node.stars.find((edge) => edge.pieces.join('*') === pieces.join('*'));
      if (same !== undefined) return same.child;
      const child = grow(false);
      node.stars.push({ pieces, child });
      return child;
    }
  }
}

/**
 * The selectors of which a pattern fits the path, as bits. All places in the trie that the components so far
 * can lead to are followed at once, each at most once per component: time is linear in the path, for hostile
 * patterns too, with the number of patterns as the factor at worst.
 */
export function lookUp({ nodes }: PathTrie, path: string): bigint {
  if (!path.startsWith('/') || path === '/') return 0n;
  const reachedAt = new Int32Array(nodes.length).fill(-1);
  let reached: number[] = [];
  const reach = (index: number, step: number, into: number[]): void => {
    for (let at = index; at >= 0 && reachedAt[at] !== step; at = nodes[at]?.deep ?? -1) {
      reachedAt[at] = step;
      into.push(at);
    }
  };
  let found = 0n;
  let step = 0;
  reach(0, step, reached);
  for (const component of path.slice(1).split('/')) {
    step += 1;
    const next: number[] = [];
    for (const index of reached) {
      const node = nodes[index];
      if (node === undefined) continue;
      if (node.below !== 0n) found |= node.below;
      if (node.stays) reach(index, step, next);
      reach(node.children.get(component) ?? -1, step, next);
      for (const { pieces, child } of node.stars) {
        if (componentFits(pieces, component)) reach(child, step, next);
      }
    }
    reached = next;
    if (reached.length === 0) break;
  }
  for (const index of reached) found |= nodes[index]?.accept ?? 0n;
  return found;
}
