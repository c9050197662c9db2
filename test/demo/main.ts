/**
 * `npm run demo`: one policy at both ends, on a real AdmissionReview and a real container, in about half a minute.
 *
 * Owns a temporary folder, the webhook and the agent as child processes, and one container; `cleanUp` gives all of
 * it back, also after Ctrl-C and after a failure.
 */

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requirements } from '../support/containers.ts';
import { installPackages } from '../support/packages.ts';
import { showAdmission } from './admission.ts';
import { showNode } from './node.ts';
import { root, say, stopSteps, title } from './stage.ts';

const undo: (() => Promise<unknown>)[] = [];

let cleaning: Promise<void> = Promise.resolve();

/** Ends when everything that was begun until now is given back, also when another call has begun with it. */
function cleanUp(): Promise<void> {
  cleaning = cleaning.then(async () => {
    for (const step of undo.splice(0).reverse()) await step().catch((error: unknown) => say(String(error)));
  });
  return cleaning;
}

async function demo(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-demo-'));
  undo.push(() => rm(folder, { recursive: true, force: true }));
  const policies = join(folder, 'policies');
  await cp(
    join(root, 'charts/d4c-gate/policies/drift-prevention.yaml'),
    join(policies, 'drift-prevention.yaml'),
  );

  title('d4c-gate: one policy, two enforcement points');
  say('The policy `drift-prevention` says: nobody creates or changes a program in a running container.');
  await showAdmission(folder, policies, undo);

  const missing = requirements('containerd');
  if (missing === undefined) await showNode(folder, policies, undo);
  else say(`\nskipped: the second half, a real container under the gate: ${missing}`);
}

let running: Promise<void> = Promise.resolve();
let stopping: Promise<void> | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (stopping !== undefined) return;
    say('\nstopping, and cleaning up ...');
    stopSteps();
    // What a step was starting meanwhile is known only when the step has ended.
    stopping = running
      .catch(() => undefined)
      .then(cleanUp)
      .then(() => process.exit(130));
  });
}

installPackages(process.argv.slice(2), say);
running = demo();
try {
  await running;
} catch (error) {
  if (stopping === undefined) {
    say(`\nthe demo failed: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 2;
  }
}
await (stopping ?? cleanUp());
if (process.exitCode === undefined) title('Everything is cleaned up. README.md says how to go on.');
