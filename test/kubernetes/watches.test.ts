import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { watch } from '../../src/kubernetes/watches.ts';
import { eventually } from '../support/programs.ts';
import { withScripted } from './scripted.ts';

test('a list that says no resourceVersion is tried again at a distance, and its objects are known', async () => {
  for (const metadata of [{}, { resourceVersion: '' }]) {
    let lists = 0;
    await withScripted(
      (_, response) => {
        lists += 1;
        response.end(
          JSON.stringify({ items: [{ metadata: { name: 'n', resourceVersion: '1' } }], metadata }),
        );
      },
      async (cluster) => {
        const watched = watch(cluster, 'namespaces', { times: { firstPauseMs: 100 } });
        await eventually('it has listed twice', () => lists > 1);
        assert.equal(watched.get('n')?.metadata.name, 'n');
        await sleep(200);
        await watched.close();
        // Without a pause: thousands.
        assert.ok(lists <= 5, `${lists} lists`);
      },
    );
  }
});
