import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import type { CertificatePair } from '../../src/certificates/pair.ts';
import { readConfiguration } from '../../src/controller/caBundles.ts';
import type { CertificateState } from '../../src/controller/certificateSecret.ts';
import {
  authorityName,
  dayMs,
  defaultTimes,
  nextStep,
  renewAt,
  type Seen,
  type Step,
  wantedBundle,
} from '../../src/controller/certificateStep.ts';

const hosts = ['localhost'];
const t0 = Date.parse('2026-01-01T00:00:00Z');
const authority = (name: string, fromDay: number, toDay: number) =>
  makeAuthority(`${authorityName} ${name}`, {
    notBefore: t0 + fromDay * dayMs,
    notAfter: t0 + toDay * dayMs,
  });
const a = await authority('a', -10, 180);
const b = await authority('b', -10, 360);
const c = await authority('c', 180, 540);
const lost = await authority('lost', -50, 300);
const foreign = await makeAuthority('foreign', { notBefore: t0 - dayMs, notAfter: t0 + 999 * dayMs });
const leafOf = (issuer: CertificatePair, fromDay: number, toDay: number) =>
  issueLeaf(issuer, hosts, { notBefore: t0 + fromDay * dayMs, notAfter: t0 + toDay * dayMs });
const leafA = await leafOf(a, -5, 25);
const leafB = await leafOf(b, 160, 190);

interface Situation {
  readonly authorities?: readonly CertificatePair[];
  readonly leaf?: CertificatePair;
  readonly problems?: readonly string[];
  /** For each configuration the authorities in its one webhook's bundle; default: one with those of the Secret. */
  readonly live?: readonly (readonly CertificatePair[])[];
  readonly day?: number;
  readonly settled?: readonly CertificatePair[];
}

function see({
  authorities = [a, b],
  leaf,
  problems = [],
  live = [authorities],
  day = 0,
  settled = [],
}: Situation): Seen {
  return {
    secret: { authorities, leaf, problems },
    live: live.map((trusted, index) =>
      readConfiguration(`validating/${index}`, {
        metadata: { name: String(index) },
        webhooks: [
          {
            name: 'x.d4c-gate.io',
            clientConfig: { caBundle: btoa(trusted.map(({ cert }) => cert).join('')) },
            sideEffects: 'None',
            admissionReviewVersions: ['v1'],
          },
        ],
      }),
    ),
    now: t0 + day * dayMs,
    isSettled: (one) => settled.includes(one),
  };
}

/** A step in one line. */
function said(step: Step): string {
  const name = (pair: CertificatePair) => pair.certificate.subject.slice(-1);
  const days = (times: readonly number[]) => times.map((time) => Math.round((time - t0) / dayMs)).join(',');
  switch (step.do) {
    case 'replaceAuthorities':
      return `keep ${step.keep.map(name).join(',')}; new until ${days(step.notAfter)}; lost ${step.lost}`;
    case 'writeBundles':
      return `bundle ${step.behind.map(({ id }) => id.slice(-1)).join(',')}; tampered ${step.tampered.length}`;
    case 'issueLeaf':
      return `leaf of ${name(step.issuer)} until ${days([step.notAfter])}${step.lost ? '; lost' : ''}`;
    default:
      return step.do;
  }
}

const stepsOf: readonly (readonly [because: string, situation: Situation, step: string])[] = [
  ['nothing is there yet', { authorities: [], live: [[], []] }, 'keep ; new until 180,360; lost 0'],
  ['the Secret was lost', { authorities: [], live: [[a, b]] }, 'keep ; new until 180,360; lost 2'],
  [
    'the Secret is garbage',
    { authorities: [], problems: ['x'], live: [[]] },
    'keep ; new until 180,360; lost 2',
  ],
  ['one authority was lost', { authorities: [b], live: [[a, b]] }, 'keep b; new until 180; lost 1'],
  ['the young one was lost', { authorities: [a], live: [[a, b]] }, 'keep a; new until 360; lost 1'],
  ['the first has expired', { leaf: leafB, day: 181 }, 'keep b; new until 541; lost 0'],
  ['both have expired', { leaf: leafB, day: 400 }, 'keep ; new until 580,760; lost 2'],
  ['the bundles are empty', { live: [[], []] }, 'bundle 0,1; tampered 2'],
  [
    'one bundle is behind after a rotation',
    {
      authorities: [b, c],
      leaf: leafB,
      day: 180,
      live: [
        [a, b],
        [b, c],
      ],
    },
    'bundle 0; tampered 0',
  ],
  ['a bundle lacks the issuer of the leaf', { leaf: leafA, live: [[b], [a, b]] }, 'bundle 0; tampered 1'],
  ['a bundle has a stranger', { leaf: leafA, live: [[a, b, foreign]] }, 'bundle 0; tampered 1'],
  ['there is no leaf', {}, 'leaf of a until 30; lost'],
  ['there is no leaf and no configuration', { live: [] }, 'leaf of a until 30; lost'],
  ['there is no leaf, and replicas may serve one of a lost authority', { live: [[a, b, lost]] }, 'nothing'],
  ['API servers have settled since', { live: [[a, b, lost]], settled: [b] }, 'leaf of b until 30; lost'],
  ['all is good', { leaf: leafA }, 'nothing'],
  ['the leaf is due, but nothing has settled', { leaf: leafA, day: 16 }, 'nothing'],
  ['the leaf is due', { leaf: leafA, day: 16, settled: [a, b] }, 'leaf of a until 46'],
  [
    'the leaf is due, and only the second has settled',
    { leaf: leafA, day: 16, settled: [b] },
    'leaf of b until 46',
  ],
  ['the leaf has expired, and nothing has settled', { leaf: leafA, day: 26 }, 'leaf of a until 56; lost'],
  [
    'the first authority would end before a new leaf',
    { leaf: leafA, day: 155, settled: [a, b] },
    'leaf of b until 185; lost',
  ],
  [
    'the only authority is about to end',
    { authorities: [a], live: [[a]], day: 170 },
    'keep a; new until 530; lost 1',
  ],
  ['the clock is far behind', { leaf: leafA, day: -7 }, 'leaf of a until 23; lost'],
];

for (const [because, situation, step] of stepsOf) {
  test(`takes the step "${step}" because ${because}`, () => {
    assert.equal(said(nextStep(see(situation), hosts, defaultTimes)), step);
  });
}

test('without a Secret makes one', () => {
  assert.deepEqual(nextStep({ ...see({}), secret: undefined }, hosts, defaultTimes), { do: 'createSecret' });
});

test('never signs by an authority that one configuration does not trust', () => {
  const seen = see({ authorities: [a, b], live: [[a, b], [b]], settled: [a, b] });
  assert.match(said(nextStep(seen, hosts, defaultTimes)), /^bundle/);
});

test('a lost authority stays in the bundles while there is no leaf or a young one, and never for longer', async () => {
  const trusts = (state: Partial<CertificateState>, day: number, one: CertificatePair) => {
    const seen = see({ live: [[a, b, one]], day });
    const secret = { authorities: [a, b], leaf: undefined, problems: [], ...state };
    return wantedBundle(secret, seen, defaultTimes).includes(one.cert);
  };
  const young = await issueLeaf(a, hosts, {
    notBefore: t0 - defaultTimes.backdateMs,
    notAfter: t0 + 30 * dayMs,
  });
  assert.equal(trusts({}, 0, lost), true);
  assert.equal(trusts({ leaf: young }, 0, lost), true);
  assert.equal(trusts({ leaf: young }, 11 / 1440, lost), false);
  assert.equal(trusts({ leaf: leafA }, 0, lost), false);
  assert.equal(trusts({}, 0, foreign), false);
  assert.equal(trusts({}, 301, lost), false, 'it has expired');
});

test('renews when a third of the life is left, or up to a tenth more', async () => {
  const leaves = await Promise.all([1, 2, 3, 4, 5].map(() => leafOf(a, 0, 30)));
  const left = leaves.map((leaf) => (leaf.notAfter - renewAt(leaf, defaultTimes)) / dayMs);
  assert.ok(
    left.every((days) => days >= 10 && days <= 13),
    left.join(),
  );
  assert.ok(new Set(left).size > 1);
});
