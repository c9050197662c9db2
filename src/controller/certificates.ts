/**
 * Keeps the certificates of the webhook good for ever: looks, takes the next step, and looks again until there is
 * nothing to do. Runs on the leader alone; docs/certificates.md tells the whole life of an authority and a leaf.
 *
 * What it remembers is only since when each authority has been trusted, by a clock that cannot be set. A process that
 * forgets it waits once more.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { issueLeaf, makeAuthority } from '../certificates/issue.ts';
import type { CertificatePair } from '../certificates/pair.ts';
import { reportFailure } from '../failures.ts';
import { hasStatus } from '../kubernetes/client.ts';
import type { Secret } from '../kubernetes/kinds.ts';
import { log } from '../log.ts';
import { hasBundle, isTrustedByAll, type LiveConfiguration, readConfiguration } from './caBundles.ts';
import { bundleInSync, rotationsTotal } from './certificateMetrics.ts';
import type { CertificateObjects } from './certificateObjects.ts';
import { type CertificateState, issuerOf, readState, writeState } from './certificateSecret.ts';
import {
  authorityName,
  type CertificateTimes,
  defaultTimes,
  madeAt,
  nextStep,
  type Seen,
  type Step,
  wantedBundle,
} from './certificateStep.ts';

export interface CertificateOptions {
  /** DNS names and IP addresses by which API servers call the webhook, such as `d4c-gate.NAMESPACE.svc`. */
  readonly hosts: readonly string[];
  /** Ends the work, as a rule because another replica leads from now on. */
  readonly term: AbortSignal;
  readonly times?: Partial<CertificateTimes>;
  /** Between two looks, which is also how long a tampered object stays as it is (default: 2000). */
  readonly everyMs?: number;
  /** Milliseconds since 1970 (default: the machine's clock). */
  readonly now?: () => number;
}

export interface Keeping {
  /** Looks now, and resolves when there is nothing left to do. Never rejects: what failed is counted. */
  lookNow(): Promise<void>;
  /** Resolves when the term is over and no write is under way. */
  readonly ended: Promise<void>;
}

/** More than any state needs; so that something that changes what we write every time cannot keep us busy. */
const maxStepsPerLook = 12;
/** Clocks of replicas that differ by less than this are nothing to report. */
const clockToleranceMs = 60_000;

interface Look extends Seen {
  readonly object: Secret | undefined;
}

/** Starts at once and never throws. */
export function keepCertificates(objects: CertificateObjects, options: CertificateOptions): Keeping {
  const { hosts, term, everyMs = 2_000, now = Date.now } = options;
  const times = { ...defaultTimes, ...options.times };
  const trustedSince = new Map<string, number>();
  let skewedSerial: string | undefined;
  let lastRead: { readonly version: string | undefined; readonly state: CertificateState } | undefined;

  async function look(): Promise<Look> {
    const { secret: object, configurations } = await objects.read();
    const secret = object && stateOf(object);
    const live: LiveConfiguration[] = [];
    for (const [id, found] of configurations) if (found) live.push(readConfiguration(id, found));
    const seen = { object, secret, live, now: now(), isSettled };
    noteTrust(seen);
    noteClock(seen);
    const pem = secret?.authorities.length === 2 ? wantedBundle(secret, seen, times) : undefined;
    for (const id of configurations.keys()) {
      const found = live.find((one) => one.id === id);
      const inSync = found !== undefined && pem !== undefined && hasBundle(found, pem);
      bundleInSync.set({ configuration: id }, inSync ? 1 : 0);
    }
    return seen;
  }

  /** Reading keys takes milliseconds of the event loop, so the same version is read once. */
  function stateOf({ metadata: { resourceVersion: version }, data }: Secret): CertificateState {
    if (lastRead === undefined || lastRead.version !== version)
      lastRead = { version, state: readState(data) };
    return lastRead.state;
  }

  const isSettled = ({ certificate }: CertificatePair) =>
    performance.now() - (trustedSince.get(certificate.fingerprint256) ?? Number.POSITIVE_INFINITY) >=
    times.settleMs;

  function noteTrust({ secret, live }: Seen): void {
    const trusted = (secret?.authorities ?? [])
      .filter(({ certificate }) => isTrustedByAll(certificate, live))
      .map(({ certificate }) => certificate.fingerprint256);
    for (const known of trustedSince.keys()) if (!trusted.includes(known)) trustedSince.delete(known);
    for (const one of trusted) if (!trustedSince.has(one)) trustedSince.set(one, performance.now());
  }

  /** Only a replica whose clock differs can have made a certificate in the future. Counted once for each leaf. */
  function noteClock({ secret, now: at }: Seen): void {
    const leaf = secret?.leaf;
    if (leaf === undefined || madeAt(leaf, times) <= at + clockToleranceMs) return;
    const { serialNumber } = leaf.certificate;
    if (serialNumber !== skewedSerial) reportFailure('clock_skewed', { aheadMs: madeAt(leaf, times) - at });
    skewedSerial = serialNumber;
  }

  async function take(
    step: Exclude<Step, { do: 'nothing' }>,
    { object, secret, now: at }: Look,
  ): Promise<void> {
    if (step.do === 'createSecret') return objects.createSecret();
    if (step.do === 'writeBundles') return writeBundles(step);
    if (object === undefined || secret === undefined) return;
    const notBefore = at - times.backdateMs;

    if (step.do === 'replaceAuthorities') {
      if (step.lost > 0) {
        reportFailure('certificate_lost', { what: 'authority', problems: secret.problems }, step.lost);
      }
      const made = await Promise.all(
        step.notAfter.map((notAfter) => makeAuthority(newAuthorityName(), { notBefore, notAfter })),
      );
      const authorities = [...step.keep, ...made].sort((a, b) => a.notAfter - b.notAfter);
      const leaf = secret.leaf && issuerOf(secret.leaf, step.keep) && secret.leaf;
      await objects.writeData(object, writeState({ authorities, leaf }));
      rotationsTotal.inc({ kind: 'authority' }, made.length);
      log.info({ notAfter: made.map(({ notAfter }) => new Date(notAfter)) }, 'certificate authorities made');
      return;
    }
    if (step.lost !== undefined) {
      reportFailure('certificate_lost', { what: 'leaf', reason: step.lost, problems: secret.problems });
    }
    const leaf = await issueLeaf(step.issuer, hosts, { notBefore, notAfter: step.notAfter });
    await objects.writeData(object, writeState({ ...secret, leaf }));
    rotationsTotal.inc({ kind: 'leaf' });
    log.info({ notAfter: new Date(leaf.notAfter) }, 'serving certificate issued');
  }

  /** One that cannot be written must not keep the others from being mended. */
  async function writeBundles({ pem, behind, tampered }: Step & { do: 'writeBundles' }): Promise<void> {
    if (tampered.length > 0) {
      reportFailure('ca_bundle_changed', { configurations: tampered.map(({ id }) => id) }, tampered.length);
    }
    const results = await Promise.allSettled(
      behind.map(({ id, object }) => objects.writeBundle(id, object, pem)),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async function lookUntilDone(): Promise<void> {
    try {
      for (let steps = 0; steps < maxStepsPerLook && !term.aborted; steps += 1) {
        const seen = await look();
        const step = nextStep(seen, hosts, times);
        if (step.do === 'nothing' || term.aborted) return;
        // 409: somebody else wrote meanwhile, so what was decided may be wrong. Looking again tells.
        await take(step, seen).catch((error: unknown) => {
          if (!hasStatus(error, 409)) throw error;
        });
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      reportFailure('certificates_unattended', { reason });
    }
  }

  let running = Promise.resolve();
  const lookNow = () => {
    running = running.then(lookUntilDone);
    return running;
  };

  async function keepGoing(): Promise<void> {
    while (!term.aborted) {
      await lookNow();
      await sleep(everyMs, undefined, { signal: term }).catch(() => undefined);
    }
    await running;
    bundleInSync.reset();
  }

  return { lookNow, ended: keepGoing() };
}

const newAuthorityName = () => `${authorityName} ${randomBytes(8).toString('hex')}`;
