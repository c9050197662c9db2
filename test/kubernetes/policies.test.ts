import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { watchPolicies } from '../../src/kubernetes/policies.ts';
import { eventually } from '../support/programs.ts';
import { withScripted } from './scripted.ts';

const spec = {
  process: {
    selectors: [{ name: 's', operation: ['exec'] }],
    responses: [{ match: ['s'], actions: ['log'] }],
  },
};
const objectOf = (uid: string) => ({
  metadata: { name: 'p', uid, generation: 1, resourceVersion: uid },
  spec,
});
const listOf = (uid: string) =>
  JSON.stringify({ items: [objectOf(uid)], metadata: { resourceVersion: uid } });

test('a list that is older than what the watch told brings no policy back', async (t) => {
  for (const makesAnew of [false, true]) {
    const lists: ServerResponse[] = [];
    let watching: ServerResponse | undefined;
    await withScripted(
      ({ url }, response) => {
        if (url?.includes('watch=true')) {
          watching = response;
          response.flushHeaders();
        } else if (lists.push(response) === 1) {
          response.end(listOf('1'));
        }
      },
      async (cluster) => {
        const policies = watchPolicies(cluster);
        t.after(() => policies.close());
        await policies.ready;
        assert.equal(policies.get('p')?.uid, '1');
        await eventually('it watches', () => watching !== undefined);
        const refreshed = policies.refresh();
        await eventually('it lists again', () => lists.length === 2);
        const say = (type: string, uid: string) =>
          watching?.write(`${JSON.stringify({ type, object: objectOf(uid) })}\n`);
        say('DELETED', '1');
        if (makesAnew) say('ADDED', '2');
        const expected = makesAnew ? '2' : undefined;
        await eventually('the watch is read', () => policies.get('p')?.uid === expected);
        lists[1]?.end(listOf('1'));
        await refreshed;
        assert.equal(policies.get('p')?.uid, expected);
      },
    );
  }
});
