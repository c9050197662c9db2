import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runtimeStates } from '../../src/node/runtimeState.ts';
import { withHostTree } from './hostTree.ts';

const web = { config: { rootfs: '/srv/web/rootfs', labels: ['bundle=/srv/web', 'team=shop=1'] } };
const files = {
  '/run/runc/web/state.json': web,
  '/srv/web/config.json': { annotations: { team: 'shop' }, root: { path: 'rootfs' } },
  '/run/crun/box/status': { rootfs: '/srv/box/merged', bundle: '/srv/box', pid: 5 },
  '/run/containerd/runc/k8s.io/app/state.json': { config: { rootfs: '/srv/app', labels: ['a=b'] } },
  '/run/user/1000/crun/less/status': { rootfs: '/home/less' },
  '/run/runc/broken/state.json': '{',
};

test('finds containers of runc, containerd and crun by their ID', () =>
  withHostTree(files, async (hostRoot) => {
    const states = runtimeStates(hostRoot);
    const found = async (id: string) => (await states.find(['none', id], undefined))?.rootfs;
    assert.equal(await found('web'), '/srv/web/rootfs');
    assert.equal(await found('box'), '/srv/box/merged');
    assert.equal(await found('app'), '/srv/app');
    assert.equal(await found('less'), '/home/less');
    assert.equal(await found('broken'), undefined);
  }));

test('reads annotations from the bundle, else from the state', () =>
  withHostTree(files, async (hostRoot) => {
    const states = runtimeStates(hostRoot);
    const annotations = async (id: string) => [
      ...((await states.find([id], undefined))?.spec.annotations ?? []),
    ];
    assert.deepEqual(await annotations('web'), [['team', 'shop']]);
    assert.deepEqual(await annotations('app'), [['a', 'b']]);
    await rm(join(hostRoot, '/srv/web/config.json'));
    assert.deepEqual(await annotations('web'), [['team', 'shop=1']]);
  }));

test('finds a container by where its root filesystem is mounted', () =>
  withHostTree(files, async (hostRoot) => {
    const states = runtimeStates(hostRoot);
    assert.equal((await states.find([], '/srv/box/merged'))?.id, 'box');
    assert.equal(await states.find([], '/srv/nowhere'), undefined);
  }));

test('sees that a state file was replaced', () =>
  withHostTree(files, async (hostRoot) => {
    const states = runtimeStates(hostRoot);
    await states.find([], '/srv/web/rootfs');
    await writeFile(join(hostRoot, '/run/runc/web/state.json'), JSON.stringify({ rootfs: '/srv/moved' }));
    assert.equal(await states.find([], '/srv/web/rootfs'), undefined);
    assert.equal((await states.find([], '/srv/moved'))?.id, 'web');
  }));

test('a machine without any runtime has no containers', () =>
  withHostTree({}, async (hostRoot) => {
    assert.equal(await runtimeStates(hostRoot).find(['x'], '/srv/x'), undefined);
  }));
