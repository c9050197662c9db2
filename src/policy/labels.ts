/** The condition `kubernetesPodLabel`. Source: policy-language.md section 4. */

import { or, truthOf } from './truth.ts';
import type { Truth, Workload } from './types.ts';

/** One value of the condition, split at its first `:`. */
export interface LabelPattern {
  readonly key: string;
  /** The whole value, or its beginning when `prefix`. */
  readonly value: string;
  /** Whether the pattern ended in `*`. A `*` elsewhere is literal. */
  readonly prefix: boolean;
}

/** `app:web*` is the key `app` and any value that begins with `web`; `app:*` any value, `app:` the empty one. */
export function parseLabelPattern(text: string): LabelPattern {
  // INVARIANT: validate accepts no value without a colon.
  const colon = text.indexOf(':');
  const value = text.slice(colon + 1);
  const prefix = value.endsWith('*');
  return { key: text.slice(0, colon), value: prefix ? value.slice(0, -1) : value, prefix };
}

/** Whether a pod with these labels has one that fits any pattern. `null`: not a pod; `undefined`: not known. */
export function labelsHold(patterns: readonly LabelPattern[], labels: Workload['podLabels']): Truth {
  if (labels === undefined) return 'unknown';
  let holds: Truth = 'no';
  if (labels === null) return holds;
  for (const pattern of patterns) {
    holds = or(holds, fits(pattern, labels));
    if (holds === 'yes') break;
  }
  return holds;
}

function fits({ key, value, prefix }: LabelPattern, labels: NonNullable<Workload['podLabels']>): Truth {
  const found = labels.get(key);
  if (found === undefined) return labels.has(key) ? 'unknown' : 'no';
  return truthOf(prefix ? found.startsWith(value) : found === value);
}
