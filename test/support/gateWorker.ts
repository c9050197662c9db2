/** A gate of a worker thread, with a keeper of its own, until it is told to close or is terminated. */

import { parentPort } from 'node:worker_threads';
import { openGate } from '../../src/native/gate.ts';

const nothing = () => undefined;
const gate = await openGate({
  mode: 'enforce',
  holdMs: 60_000,
  onUnknown: 'deny',
  onContainer: nothing,
  onFirstExec: nothing,
  onContainerGone: nothing,
  onEvents: nothing,
  onFailure: nothing,
});
parentPort?.on('message', async () => {
  await gate.close();
  parentPort?.close();
});
parentPort?.postMessage('open');
