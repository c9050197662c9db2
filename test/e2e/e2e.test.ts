/** One release on a real node, from its installation to its end. The files beside this one are its chapters, in order. */

import { after, before, describe } from 'node:test';
import { type E2e, e2eRequirements, startE2e } from '../support/e2e.ts';
import { absence } from './absence.ts';
import { enforcing } from './enforcing.ts';
import { installing } from './installing.ts';
import { keeping } from './keeping.ts';
import { lifecycle } from './lifecycle.ts';
import { observing } from './observing.ts';
import { policyChanges } from './policyChanges.ts';
import { rights } from './rights.ts';

/** A chapter adds its tests; each begins with what the ones before it left. */
export type Chapter = (e2e: () => E2e) => void;

describe('d4c-gate on a real node', { skip: e2eRequirements() }, () => {
  let started: E2e;
  const e2e = () => started;
  before(async () => {
    started = await startE2e();
  });
  after(() => started?.close());

  const chapters: readonly Chapter[] = [
    installing,
    observing,
    enforcing,
    rights,
    policyChanges,
    keeping,
    absence,
    lifecycle,
  ];
  for (const chapter of chapters) chapter(e2e);
});
