/**
 * Changes of a namespace's mode: says what opting in would do to the pods that are there, and asks for a confirmation
 * before a namespace opts out while policies apply. It refuses nothing else, and never a namespace that is being deleted.
 */

import { GateError } from '../errors.ts';
import { confirmKey, type Mode, modeLabel, modes, neverTouched } from '../kubernetes/names.ts';
import type { Cluster } from './annotations.ts';
import { type Coverage, coverageOf, summaryOf } from './coverage.ts';
import type { Generations } from './generations.ts';
import type { Live } from './live.ts';
import { isJsonObject, isWrite, type JsonObject, type Review, type ReviewAnswer } from './review.ts';
import { boundedWarnings, shortened } from './warnings.ts';

export interface GuardPlace {
  readonly generations: Generations;
  readonly cluster: Cluster;
  readonly live?: Live;
  readonly ownNamespace?: string;
}

/** What is read of a namespace. */
interface Namespace {
  /** The label as it stands, '' when there is none. */
  readonly label: string;
  /** `undefined`: not opted in. */
  readonly mode: Mode | undefined;
  readonly isConfirmed: boolean;
  readonly isTerminating: boolean;
}

const nothing: Namespace = { label: '', mode: undefined, isConfirmed: false, isTerminating: false };

/** @throws REVIEW_OBJECT */
export async function guard(review: Review, place: GuardPlace): Promise<ReviewAnswer> {
  if (review.resource !== 'namespaces' || !isWrite(review)) return { allowed: true };
  const now = namespaceOf(review.object);
  const was = review.operation === 'UPDATE' ? namespaceOf(review.oldObject) : nothing;
  if (now.isTerminating || now.label === was.label) return { allowed: true };
  const change = `${was.mode ?? 'not opted in'} -> ${now.mode ?? 'not opted in'}`;
  const answer = await judgeChange(review.name, was, now, place);
  const warnings = boundedWarnings(answer.warnings ?? []);
  const audit = { ...answer.audit, change, ...(!answer.allowed && { refused: shortened(answer.message) }) };
  return { ...answer, warnings, audit };
}

async function judgeChange(
  name: string,
  was: Namespace,
  now: Namespace,
  place: GuardPlace,
): Promise<ReviewAnswer> {
  if (neverTouched(place.ownNamespace).has(name)) {
    if (now.mode === undefined) return { allowed: true };
    return {
      allowed: true,
      warnings: [`d4c-gate never touches namespace \`${name}\`: the label has no effect`],
    };
  }
  const warnings = now.label !== '' && now.mode === undefined ? [oddLabel(now.label)] : [];
  if (was.mode === now.mode) return { allowed: true, warnings };
  // A new namespace has no pods.
  if (was === nothing) return { allowed: true, warnings: [...warnings, ...leftover(now)] };
  const { generations, cluster, live } = place;
  const generation = generations.current();
  if (now.mode === undefined) {
    const gone = `the annotations of d4c-gate are taken off the pods of \`${name}\`, and nothing is refused there`;
    if (now.isConfirmed) {
      return { allowed: true, warnings: [...warnings, gone], audit: { confirmed: 'true' } };
    }
    const coverage = await coverageOf(name, { generation, cluster, live });
    const reason = reasonToAsk(coverage);
    if (reason === undefined) return { allowed: true, warnings };
    return { allowed: false, message: askToConfirm(name, reason), warnings };
  }
  const coverage = await coverageOf(name, { generation, cluster, live });
  const lines = [...warnings, headline(was.mode, now.mode), ...summaryOf(coverage), ...leftover(now)];
  if (coverage.cut !== undefined) lines.push(`not every pod was looked at: ${coverage.cut}`);
  return { allowed: true, warnings: lines };
}

/** Why a namespace should not opt out without a confirmation; `undefined` when there is no reason. */
function reasonToAsk({ covered, looked, undecided, byPolicy, cut }: Coverage): string | undefined {
  const outcome = 'which would no longer be protected';
  if (covered > 0) {
    const policies = `${byPolicy.size} ${byPolicy.size === 1 ? 'policy applies' : 'policies apply'}`;
    return `${policies} to ${cut === undefined ? '' : 'at least '}${covered} of ${looked} pods, ${outcome}`;
  }
  if (undecided > 0) return `policies may apply to ${undecided} of ${looked} pods, ${outcome}`;
  if (cut === undefined) return undefined;
  return `not every pod was looked at (${shortened(cut, 300)}), so some may no longer be protected`;
}

function askToConfirm(name: string, reason: string): string {
  return (
    `${reason}; if that is meant, confirm it and try again: ` +
    `\`kubectl annotate namespace ${name} ${confirmKey}=true\``
  );
}

function headline(was: Mode | undefined, now: Mode): string {
  if (now === 'enforce') return 'd4c-gate: what policies refuse is refused from now on';
  if (was === 'enforce')
    return 'd4c-gate: nothing is refused any more: mode observe decides, reports and allows';
  return 'd4c-gate: mode observe decides and reports, and refuses nothing';
}

function oddLabel(label: string): string {
  return `\`${modeLabel}: ${shortened(label, 63)}\` is no mode, so the namespace has not opted in; use ${modes.join(' or ')}`;
}

/** A confirmation that stays would confirm the next change as well. */
function leftover({ isConfirmed, mode }: Namespace): string[] {
  if (!isConfirmed || mode === undefined) return [];
  return [`annotation \`${confirmKey}\` is still there: opting out would need no confirmation; remove it`];
}

function namespaceOf(object: unknown): Namespace {
  const metadata = isJsonObject(object) ? object.metadata : undefined;
  if (!isJsonObject(metadata)) throw new GateError('REVIEW_OBJECT', 'the object is not a namespace');
  const label = textAt(metadata.labels, modeLabel);
  return {
    label,
    mode: modes.find((mode) => mode === label),
    isConfirmed: textAt(metadata.annotations, confirmKey) === 'true',
    isTerminating: typeof metadata.deletionTimestamp === 'string',
  };
}

function textAt(values: unknown, key: string): string {
  const value: unknown = isJsonObject(values) ? (values as JsonObject)[key] : undefined;
  return typeof value === 'string' ? value : '';
}
