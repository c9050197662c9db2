/** From text to a `PolicyDocument`: the first step of the pipeline. */

import { findPolicy } from './envelope.ts';
import { FaultList } from './faultList.ts';
import { readJson } from './jsonTree.ts';
import { lineLocator, scalarLocator } from './position.ts';
import { quote } from './quote.ts';
import type { MapNode, Place, PolicyDocument, ScalarNode } from './tree.ts';
import type { Fault } from './types.ts';
import { readYaml } from './yaml.ts';

/** Longer texts are refused unread. In UTF-8 bytes. */
export const maxTextBytes = 1_048_576;

const byteOrderMark = '\uFEFF';

/** Control characters that YAML does not allow; three of them are signals inside the `yaml` package's lexer. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for
const unreadable = /[\0-\x08\x0b\x0c\x0e-\x1f]|\p{Cs}/u;

/**
 * The policy of a text (YAML or JSON), taken out of its envelope. `document` is absent when the text cannot be one;
 * `faults` then says why. Faults of a text that is one are the document's own, and both are the same list.
 * Never throws, and takes time linear in the text.
 */
export function parse(text: string): Parsed {
  return parsed((faults) => readText(text.startsWith(byteOrderMark) ? text.slice(1) : text, faults));
}

/** As `parse`, of a text that `JSON.stringify` made, and much faster. Lines and columns only tell what comes first. */
export function parseJson(text: string): Parsed {
  return parsed((faults) => {
    const size = Buffer.byteLength(text);
    if (size > maxTextBytes) return refuseSize(size, { line: 1, column: 1 }, faults);
    const tree = readJson(text, faults);
    if (tree === undefined) return undefined;
    return findPolicy(tree, ({ source, at }) => readYaml(source, () => at, faults), faults);
  });
}

interface Parsed {
  readonly document?: PolicyDocument;
  readonly faults: Fault[];
}

function parsed(read: (faults: FaultList) => MapNode | undefined): Parsed {
  // What is found here is an error in both modes.
  const faultList = new FaultList('strict');
  const root = read(faultList);
  const faults = faultList.sorted();
  return root === undefined ? { faults } : { document: { root, faults }, faults };
}

function readText(text: string, faults: FaultList): MapNode | undefined {
  const locate = lineLocator(text);
  const size = Buffer.byteLength(text);
  if (size > maxTextBytes) {
    return refuseSize(size, locate(0), faults);
  }
  const control = unreadable.exec(text);
  if (control !== null) {
    return refuse(locate(control.index), `${quote(control[0])} cannot stand in a text`, faults);
  }
  const tree = readYaml(text, locate, faults);
  if (tree === undefined) return undefined;
  if (tree === null) {
    faults.add({ code: 'POLICY_EMPTY', at: locate(0), path: '', message: 'the text is empty' });
    return undefined;
  }
  const readEmbedded = ({ span, source }: ScalarNode) =>
    readYaml(source, scalarLocator(text, span, source, locate), faults);
  return findPolicy(tree, readEmbedded, faults);
}

function refuseSize(size: number, at: Place, faults: FaultList): undefined {
  return refuse(at, `${size} bytes long; a policy has at most ${maxTextBytes}`, faults);
}

function refuse(at: Place, message: string, faults: FaultList): undefined {
  faults.add({ code: 'POLICY_SYNTAX', at, path: '', message });
}
