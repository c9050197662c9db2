/** The composed nodes of the `yaml` package as our tree: aliases resolved, keys unique and text, values plain. */

import { isAlias, isMap, isScalar, isSeq, type Scalar, type YAMLMap, type YAMLSeq } from 'yaml';
import type { FaultList } from './faultList.ts';
import type { Locate } from './position.ts';
import { quote } from './quote.ts';
import type { ListNode, MapEntry, MapNode, Place, ScalarNode, TreeNode } from './tree.ts';

/** Values that aliases may repeat in one document, so that a small text cannot stand for a huge policy. */
const maxRepeated = 10_000;

const coreTags = new Set([
  '!',
  ...['str', 'int', 'float', 'bool', 'null', 'seq', 'map'].map((name) => `tag:yaml.org,2002:${name}`),
]);

/** The tree, or `undefined` when an alias leads nowhere or to too much. Adds what is wrong to `faults`. */
export function buildTree(contents: unknown, locate: Locate, faults: FaultList): TreeNode | undefined {
  const builder = new TreeBuilder(locate, faults);
  const root = builder.build(contents, { line: 1, column: 1 });
  return builder.complete ? root : undefined;
}

interface Anchored {
  readonly node: TreeNode;
  /** Nodes in it, what its own aliases repeat included. */
  readonly size: number;
}

class TreeBuilder {
  readonly #locate: Locate;
  readonly #faults: FaultList;
  readonly #anchors = new Map<string, Anchored>();
  #made = 0;
  #repeated = 0;
  complete = true;

  constructor(locate: Locate, faults: FaultList) {
    this.#locate = locate;
    this.#faults = faults;
  }

  /** `fallback` is the place of a node that has none, such as the value of a key without one. */
  build(node: unknown, fallback: Place): TreeNode {
    const before = this.#made;
    this.#made += 1;
    const at = this.#placeOf(node, fallback);
    if (isAlias(node)) return this.#resolve(node.source, at);
    const built = this.#buildContent(node, at);
    if ((isScalar(node) || isMap(node) || isSeq(node)) && node.anchor !== undefined) {
      // Only now, so that an alias inside its own anchor leads nowhere instead of round in circles.
      this.#anchors.set(node.anchor, { node: built, size: this.#made - before });
    }
    return built;
  }

  #buildContent(node: unknown, at: Place): TreeNode {
    if (!isMap(node) && !isSeq(node) && !isScalar(node)) return emptyScalar(at);
    if (node.tag !== undefined && !coreTags.has(node.tag)) {
      this.#fault(at, `the tag ${quote(node.tag)} means nothing in a policy; leave it out`);
    }
    if (isMap(node)) return this.#buildMap(node, at);
    if (isSeq(node)) return this.#buildList(node, at);
    return buildScalar(node, at);
  }

  #buildList(list: YAMLSeq, at: Place): ListNode {
    return { kind: 'list', items: list.items.map((item) => this.build(item, at)), at };
  }

  #buildMap(map: YAMLMap, at: Place): MapNode {
    const entries = new Map<string, MapEntry>();
    for (const pair of map.items) {
      const keyAt = this.#placeOf(pair.key, at);
      const key = this.#textOf(pair.key, keyAt);
      const value = this.build(pair.value, keyAt);
      if (key === undefined) continue;
      if (entries.has(key)) this.#fault(keyAt, `duplicate key ${quote(key)}`);
      else entries.set(key, { key, at: keyAt, value });
    }
    return { kind: 'map', entries, at };
  }

  #textOf(node: unknown, at: Place): string | undefined {
    const key = this.build(node, at);
    if (key.kind !== 'scalar') {
      this.#fault(at, 'a key must be text, not a list or a mapping');
      return undefined;
    }
    if (key.value === '<<') {
      this.#fault(at, 'merge keys (`<<`) are not part of the language; write the keys out');
      return undefined;
    }
    return key.source;
  }

  #resolve(name: string, at: Place): TreeNode {
    const anchored = this.#anchors.get(name);
    if (anchored === undefined) {
      if (this.complete) this.#fault(at, `the alias ${quote(`*${name}`)} has no anchor before it`);
      this.complete = false;
      return emptyScalar(at);
    }
    this.#made += anchored.size;
    this.#repeated += anchored.size;
    if (this.#repeated > maxRepeated) {
      if (this.complete) this.#fault(at, `aliases repeat more than ${maxRepeated} values`);
      this.complete = false;
    }
    return { ...anchored.node, at };
  }

  #placeOf(node: unknown, fallback: Place): Place {
    const ranged = isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range : undefined;
    return ranged ? this.#locate(ranged[0]) : fallback;
  }

  #fault(at: Place, message: string): void {
    this.#faults.add({ code: 'POLICY_SYNTAX', at, path: '', message });
  }
}

function buildScalar({ value, source = '', range }: Scalar, at: Place): ScalarNode {
  const span: readonly [number, number] = [range?.[0] ?? 0, range?.[1] ?? 0];
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return { kind: 'scalar', value, source, span, at };
    default:
      // YAML 1.1 (asked for by a directive) makes dates; to a policy they are text.
      return { kind: 'scalar', value: value === null ? null : source, source, span, at };
  }
}

function emptyScalar(at: Place): ScalarNode {
  return { kind: 'scalar', value: null, source: '', span: [0, 0], at };
}
