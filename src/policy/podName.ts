/**
 * The condition `kubernetesPodName`, also on a name that the API server has yet to make. For `generateName` it
 * takes the first 58 characters and appends 5 of an alphabet without vowels and look-alikes
 * (k8s.io/apiserver/pkg/storage/names).
 */

import { or } from './truth.ts';
import type { PodName, Truth } from './types.ts';

/** What the API server appends is made of these. */
export const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';

const suffixLength = 5;
const maxBaseLength = 58;
const suffixPart = new RegExp(`^[${suffixAlphabet}]{0,${suffixLength}}$`);
const suffixCharacters = new Set(suffixAlphabet);

/** One value of the condition. */
export interface NamePattern {
  /** The whole name, or its beginning when `prefix`. */
  readonly text: string;
  /** Whether the pattern ended in `*`. A `*` elsewhere is literal. */
  readonly prefix: boolean;
}

export function parseNamePattern(text: string): NamePattern {
  return text.endsWith('*') ? { text: text.slice(0, -1), prefix: true } : { text, prefix: false };
}

/**
 * Whether the pod's name fits any pattern: `yes` when every name that it may get does, `no` when none does.
 * `null`: not a pod; `undefined`: nothing is known of the name.
 */
export function podNameHolds(patterns: readonly NamePattern[], podName: PodName | null | undefined): Truth {
  if (podName === undefined) return 'unknown';
  if (podName === null) return 'no';
  let holds: Truth = 'no';
  for (const pattern of patterns) {
    holds = or(holds, fits(pattern, podName));
    if (holds === 'yes') break;
  }
  return holds;
}

function fits(pattern: NamePattern, podName: PodName): Truth {
  if ('name' in podName) return fitsName(pattern, podName.name);
  if ('generateName' in podName) return mayFit(pattern, podName.generateName);
  return mayBegin(pattern, podName.begin, podName.restOf);
}

function fitsName(pattern: NamePattern, name: string): Truth {
  const fits = pattern.prefix ? name.startsWith(pattern.text) : name === pattern.text;
  return fits ? 'yes' : 'no';
}

function mayFit(pattern: NamePattern, generateName: string): Truth {
  const base = baseOf(generateName);
  if (pattern.prefix && base.startsWith(pattern.text)) return 'yes';
  if (!pattern.text.startsWith(base)) return 'no';
  const rest = pattern.text.slice(base.length);
  const possible = suffixPart.test(rest) && (pattern.prefix || rest.length === suffixLength);
  return possible ? 'unknown' : 'no';
}

/** At least one character follows; how many is not known. */
function mayBegin(pattern: NamePattern, begin: string, restOf: string): Truth {
  if (pattern.prefix && begin.startsWith(pattern.text)) return 'yes';
  if (!pattern.text.startsWith(begin)) return 'no';
  const rest = pattern.text.slice(begin.length);
  const isPossible = (pattern.prefix || rest !== '') && [...rest].every((one) => restOf.includes(one));
  return isPossible ? 'unknown' : 'no';
}

/** What the API server keeps of a `generateName`. */
export function baseOf(generateName: string): string {
  return generateName.slice(0, maxBaseLength);
}

/**
 * Every base of which the API server may make a name that fits the pattern and that does not begin with the
 * pattern's text itself: the text without what may be the suffix or, of a prefix, its beginning. Five at most.
 */
export function stemsOf({ text, prefix }: NamePattern): string[] {
  const stems: string[] = [];
  for (let cut = 1; cut <= suffixLength && cut <= text.length; cut++) {
    if (!suffixCharacters.has(text.charAt(text.length - cut))) break;
    if (prefix || cut === suffixLength) stems.push(text.slice(0, -cut));
  }
  return stems;
}
