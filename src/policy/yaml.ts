/**
 * YAML text to a tree, in time linear in the text. The flow: lexer, parser, composer of the `yaml` package, driven
 * step by step so that nesting is bounded before anything recurses, then one walk that resolves aliases.
 */

import { Composer, type Document, Lexer, type ParsedNode, Parser } from 'yaml';
import type { FaultList } from './faultList.ts';
import type { Locate } from './position.ts';
import { printable } from './quote.ts';
import type { TreeNode } from './tree.ts';
import { buildTree } from './treeBuilder.ts';

/** An Elastic agent policy around a policy takes about 25 levels of the parser's stack. */
const maxDepth = 100;

/** Where there is one syntax error there are often more that follow from it. */
const maxSyntaxFaults = 10;

interface SyntaxProblem {
  readonly offset: number;
  readonly message: string;
}

type ParsedDocument = Document.Parsed<ParsedNode, true>;

/** The tree; `null` for a text without content; `undefined` when faults were added that keep it from being one. */
export function readYaml(text: string, locate: Locate, faults: FaultList): TreeNode | null | undefined {
  const problems: SyntaxProblem[] = [];
  const document = compose(text, problems);
  if (problems.length > 0) {
    reportProblems(problems, locate, faults);
    return undefined;
  }
  const contents = document?.contents;
  if (contents === undefined || contents === null || isAbsent(contents)) return null;
  return buildTree(contents, locate, faults);
}

function isAbsent(node: ParsedNode): boolean {
  return 'source' in node && node.source === '' && node.range[0] === node.range[1];
}

/** The one document of the text, if any. Whatever is wrong goes into `problems`. */
function compose(text: string, problems: SyntaxProblem[]): ParsedDocument | undefined {
  // A hostile text makes an error object every two bytes; without their stack traces that costs a tenth.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    const [document, second] = composeAll(text, problems);
    if (document === undefined || problems.length > 0) return undefined;
    for (const { pos, message } of [...document.errors, ...document.warnings]) {
      problems.push({ offset: pos[0], message: inOurForm(message) });
    }
    if (second !== undefined) {
      problems.push({
        offset: second.range[0],
        message: 'a second YAML document begins here; there may be one',
      });
    }
    return document;
  } catch (error) {
    // Nothing is known to throw here. A policy from a stranger must not stop the webhook if something does.
    problems.push({ offset: 0, message: inOurForm(String(error)) });
    return undefined;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** At most two documents, the second to complain of. Stops at the first token that is no YAML. */
function composeAll(text: string, problems: SyntaxProblem[]): ParsedDocument[] {
  const lexer = new Lexer();
  const parser = new Parser();
  const composer = new Composer<ParsedNode, true>({ prettyErrors: false, uniqueKeys: false, merge: false });
  const documents: ParsedDocument[] = [];
  const step = (tokens: ReturnType<Parser['next']>): void => {
    for (const token of tokens) {
      if (token.type === 'error') problems.push({ offset: token.offset, message: inOurForm(token.message) });
      else documents.push(...composer.next(token));
    }
  };
  for (const lexeme of lexer.lex(text)) {
    step(parser.next(lexeme));
    if (parser.stack.length > maxDepth) {
      problems.push({ offset: parser.offset, message: `nested more than ${maxDepth} levels deep` });
    }
    if (problems.length > 0 || documents.length > 1) return documents;
  }
  step(parser.end());
  documents.push(...composer.end(true, text.length));
  return documents;
}

function reportProblems(problems: readonly SyntaxProblem[], locate: Locate, faults: FaultList): void {
  const lines = new Set<number>();
  for (const { offset, message } of problems) {
    const at = locate(offset);
    if (lines.has(at.line)) continue;
    lines.add(at.line);
    faults.add({ code: 'POLICY_SYNTAX', at, path: '', message });
    if (lines.size === maxSyntaxFaults) return;
  }
}

/** A sentence of the package: one line, no capital, and whose complaint it is. */
function inOurForm(message: string): string {
  return `not YAML: ${printable(message.charAt(0).toLowerCase() + message.slice(1))}`;
}
