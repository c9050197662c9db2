/**
 * The one next thing that the certificates need, decided from what was just read and from nothing remembered, so that
 * a crash between any two writes is only another state to start from:
 *
 *   the Secret is there -> it holds two authorities -> every `caBundle` trusts both -> one of them signed the leaf
 *
 * Two promises keep every handshake good meanwhile. A leaf is signed only by an authority that was read back from
 * every live webhook configuration. An authority leaves the bundles only when it has expired, and with it every leaf
 * that it signed; one that was lost from the Secret stays until every replica serves a leaf of another.
 */

import type { X509Certificate } from 'node:crypto';
import { type CertificatePair, isFor } from '../certificates/pair.ts';
import { contains, hasBundle, isTrustedByAll, type LiveConfiguration } from './caBundles.ts';
import { type CertificateState, issuerOf } from './certificateSecret.ts';

/** All in milliseconds. */
export interface CertificateTimes {
  /** Life of a leaf (default: 30 days). Renewed when a third of it is left, or up to a tenth more. */
  readonly leafMs: number;
  /** Life of an authority (default: 360 days). At least four times `leafMs`, so that one always outlives a new leaf. */
  readonly authorityMs: number;
  /** How far back validity begins, for clients whose clocks are late (default: 1 hour). */
  readonly backdateMs: number;
  /** How long API servers may take to use a new `caBundle` (default: 10 seconds). */
  readonly settleMs: number;
  /** How long replicas may take to serve a new leaf, clocks that differ included (default: 10 minutes). */
  readonly reloadMs: number;
}

export const dayMs = 86_400_000;

export const defaultTimes: CertificateTimes = {
  leafMs: 30 * dayMs,
  authorityMs: 360 * dayMs,
  backdateMs: 3_600_000,
  settleMs: 10_000,
  reloadMs: 600_000,
};

export interface Seen {
  /** Absent: there is no Secret. */
  readonly secret: CertificateState | undefined;
  readonly live: readonly LiveConfiguration[];
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Whether all live configurations have trusted this authority for `settleMs`. */
  readonly isSettled: (authority: CertificatePair) => boolean;
}

export type Step =
  | { readonly do: 'createSecret' }
  | {
      readonly do: 'replaceAuthorities';
      readonly keep: readonly CertificatePair[];
      /** When each new one shall expire. */
      readonly notAfter: readonly number[];
      /** How many of them replace one that was lost rather than one that has expired. */
      readonly lost: number;
    }
  | {
      readonly do: 'writeBundles';
      readonly pem: string;
      readonly behind: readonly LiveConfiguration[];
      /** Those of them that somebody else has changed. */
      readonly tampered: readonly LiveConfiguration[];
    }
  | {
      readonly do: 'issueLeaf';
      readonly issuer: CertificatePair;
      readonly notAfter: number;
      /** What became of the last one, when it did not end as planned. */
      readonly lost?: string;
    }
  | { readonly do: 'nothing' };

/** Each authority's common name begins so. The rest is random, since clients look issuers up by name. */
export const authorityName = 'd4c-gate admission CA';

export function nextStep(seen: Seen, hosts: readonly string[], times: CertificateTimes): Step {
  const { secret } = seen;
  if (secret === undefined) return { do: 'createSecret' };
  return (
    replaceAuthorities(secret, seen, times) ??
    writeBundles(secret, seen, times) ??
    issueLeaf(secret, seen, hosts, times) ?? { do: 'nothing' }
  );
}

function replaceAuthorities(
  secret: CertificateState,
  { live, now }: Seen,
  times: CertificateTimes,
): Step | undefined {
  const keep = secret.authorities.filter(({ notAfter }) => notAfter > now);
  if (keep.length === 2) return undefined;
  // When both have expired, nobody has renewed for months.
  const lost = keep.length === 0 ? 2 : 2 - secret.authorities.length;
  const isFirst = secret.problems.length === 0 && !live.some((one) => ours(one).length > 0);
  return {
    do: 'replaceAuthorities',
    keep,
    notAfter: endsOfNew(keep[0], now, times.authorityMs),
    lost: isFirst ? 0 : lost,
  };
}

/** The two ends are never closer than a quarter of a life, so that one authority is always good for a new leaf. */
function endsOfNew(kept: CertificatePair | undefined, now: number, lifeMs: number): number[] {
  const half = now + lifeMs / 2;
  const whole = now + lifeMs;
  if (kept === undefined) return [half, whole];
  return [kept.notAfter > now + (3 / 4) * lifeMs ? half : whole];
}

function writeBundles(secret: CertificateState, seen: Seen, times: CertificateTimes): Step | undefined {
  const pem = wantedBundle(secret, seen, times);
  const behind = seen.live.filter((one) => !hasBundle(one, pem));
  if (behind.length === 0) return undefined;
  const { authorities, leaf } = secret;
  const issuer = leaf && issuerOf(leaf, authorities);
  const established = authorities.filter((one) => one === issuer || !isYoung(one, seen.now, times));
  const tampered = behind.filter(
    (one) =>
      !established.every(({ certificate }) => isTrustedByAll(certificate, [one])) ||
      one.bundles.some(({ hasGarbage, certificates }) => hasGarbage || !certificates.every(isOurs)),
  );
  return { do: 'writeBundles', pem, behind, tampered };
}

/**
 * Both authorities of the Secret, and those that the live bundles still have of a Secret that was lost, until every
 * replica serves a leaf of the new ones.
 */
export function wantedBundle(
  secret: CertificateState,
  seen: Omit<Seen, 'secret'>,
  times: CertificateTimes,
): string {
  const wanted = secret.authorities.map(({ certificate }) => certificate);
  const isRolledOut = secret.leaf !== undefined && !isYoung(secret.leaf, seen.now, times);
  if (!isRolledOut) wanted.push(...lostAuthorities(secret, seen));
  return wanted.map(String).join('');
}

/** More than this many are not from us: each loss of the Secret leaves two. */
const maxLost = 4;

/** What the live bundles trust of ours that is not in the Secret and has not ended: replicas may serve a leaf of it. */
function lostAuthorities(
  { authorities }: CertificateState,
  { live, now }: Pick<Seen, 'live' | 'now'>,
): readonly X509Certificate[] {
  const inSecret = authorities.map(({ certificate }) => certificate);
  const lost = new Map<string, X509Certificate>();
  for (const certificate of live.flatMap(ours)) {
    const isOver = certificate.validToDate.getTime() <= now;
    if (!isOver && !contains(inSecret, certificate)) lost.set(certificate.fingerprint256, certificate);
  }
  return [...lost]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, maxLost)
    .map(([, certificate]) => certificate);
}

function issueLeaf(
  secret: CertificateState,
  { live, now, isSettled }: Seen,
  hosts: readonly string[],
  times: CertificateTimes,
): Step | undefined {
  const { authorities, leaf, problems } = secret;
  const lost = lossOfLeaf(
    leaf,
    now,
    problems.length > 0 || authorities.some((one) => !isYoung(one, now, times)),
  );
  const isUsable = leaf !== undefined && lost === undefined && isFor(leaf.certificate, hosts);
  if (isUsable && now < renewAt(leaf, times)) return undefined;
  // With nothing good being served anywhere, there is nothing to gain by waiting for API servers to settle.
  const isBroken = !isUsable && lostAuthorities(secret, { live, now }).length === 0;

  // SAFETY: this is the read-back. What is not in every live bundle signs nothing.
  const trusted = authorities.filter(({ certificate }) => isTrustedByAll(certificate, live));
  // The one that ends first, so that the other has been trusted for months when its turn comes.
  const lasting = trusted.filter(({ notAfter }) => notAfter >= now + times.leafMs);
  const [longestThere = trusted.at(-1)] = lasting.toSorted((a, b) => a.notBefore - b.notBefore);
  const issuer = lasting.find(isSettled) ?? (isBroken ? longestThere : undefined);
  if (issuer === undefined) return undefined;
  return { do: 'issueLeaf', issuer, notAfter: Math.min(now + times.leafMs, issuer.notAfter), lost };
}

function lossOfLeaf(
  leaf: CertificatePair | undefined,
  now: number,
  mustBeThere: boolean,
): string | undefined {
  if (leaf === undefined) return mustBeThere ? 'it is missing or cannot be used' : undefined;
  if (leaf.notAfter <= now) return 'it has expired';
  if (leaf.notBefore > now) return 'it is not valid yet';
  return undefined;
}

/** With a third of its life left, or up to a tenth more: by the serial number, so that every replica agrees. */
export function renewAt({ certificate, notAfter }: CertificatePair, { leafMs }: CertificateTimes): number {
  const jitter = Number.parseInt(certificate.serialNumber.slice(-4), 16) / 0xffff;
  return notAfter - leafMs * (1 / 3 + jitter / 10);
}

/** By the clock of whoever made it. */
export function madeAt({ notBefore }: CertificatePair, { backdateMs }: CertificateTimes): number {
  return notBefore + backdateMs;
}

function isYoung(pair: CertificatePair, now: number, times: CertificateTimes): boolean {
  return now - madeAt(pair, times) < times.reloadMs;
}

const isOurs = ({ ca, subject }: X509Certificate) => ca && subject.startsWith(`CN=${authorityName}`);
const ours = ({ bundles }: LiveConfiguration) =>
  bundles.flatMap(({ certificates }) => certificates.filter(isOurs));
