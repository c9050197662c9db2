import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dockerRecord, storageRecord } from '../../src/node/engineStores.ts';
import { withHostTree } from './hostTree.ts';

const id = 'a'.repeat(64);

test('Docker keeps the image, the name and the labels', () =>
  withHostTree(
    {
      [`/var/lib/docker/containers/${id}/config.v2.json`]: {
        Name: '/web',
        Image: `sha256:${id}`,
        Config: { Image: 'nginx:1.25', Labels: { tier: 'front' } },
      },
    },
    async (hostRoot) => {
      const record = await dockerRecord(id, hostRoot);
      assert.deepEqual(record, {
        image: 'nginx:1.25',
        name: 'web',
        labels: new Map([['tier', 'front']]),
      });
      assert.equal(await dockerRecord('b', hostRoot), null);
    },
  ));

test('an image that is only an ID is told as it is', () =>
  withHostTree(
    { [`/var/lib/docker/containers/${id}/config.v2.json`]: { Config: { Image: `sha256:${id}` } } },
    async (hostRoot) => assert.equal((await dockerRecord(id, hostRoot))?.image, `sha256:${id}`),
  ));

test('podman and cri-o keep both in the storage they share, also for volatile containers', () =>
  withHostTree(
    {
      '/var/lib/containers/storage/overlay-containers/containers.json': [
        { id: 'x', metadata: '{' },
        { id, names: ['n1'], metadata: '{"image-name":"docker.io/library/redis:7","name":"cache"}' },
      ],
      '/var/lib/containers/storage/overlay-containers/volatile-containers.json': [
        { id: 'v', names: ['once'], metadata: '{"image-name":"quay.io/x/y:1"}' },
      ],
    },
    async (hostRoot) => {
      assert.deepEqual(await storageRecord(id, hostRoot), {
        image: 'docker.io/library/redis:7',
        name: 'cache',
        labels: new Map(),
      });
      assert.equal((await storageRecord('v', hostRoot))?.name, 'once');
      assert.equal((await storageRecord('x', hostRoot))?.image, undefined);
      assert.equal(await storageRecord('y', hostRoot), null);
    },
  ));

test('what is there and cannot be read is not known, and what is not there is known to be elsewhere', () =>
  withHostTree(
    {
      [`/var/lib/docker/containers/${id}/config.v2.json`]: '{',
      '/var/lib/containers/storage/overlay-containers/containers.json': '[{',
    },
    async (hostRoot) => {
      assert.equal(await dockerRecord(id, hostRoot), undefined);
      assert.equal(await storageRecord(id, hostRoot), undefined);
      assert.equal(await storageRecord(id, `${hostRoot}/elsewhere`), null);
    },
  ));
