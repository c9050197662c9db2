import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trackStaleness } from '../../src/kubernetes/staleness.ts';
import { registry } from '../../src/metrics.ts';
import { eventually } from '../support/programs.ts';

const metric = async () =>
  (await registry.getSingleMetric('d4c_gate_watch_staleness_seconds')?.get())?.values ?? [];

test('the metric shows the oldest watch of each kind, and none that has ended', async () => {
  const quiet = trackStaleness('quiet');
  await eventually('time passes', () => quiet.ms() > 30);
  const fresh = trackStaleness('quiet');
  const other = trackStaleness('other');
  const values = new Map((await metric()).map(({ labels, value }) => [labels.kind, value]));
  assert.deepEqual([...values.keys()].sort(), ['other', 'quiet']);
  assert.ok((values.get('quiet') ?? 0) > 0.03);
  assert.ok((values.get('other') ?? 1) < 0.03);
  quiet.heard();
  assert.ok(quiet.ms() < 30);
  for (const each of [quiet, fresh, other]) each.forget();
  assert.deepEqual(await metric(), []);
});
