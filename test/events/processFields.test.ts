import assert from 'node:assert/strict';
import { test } from 'node:test';
import { entityId, isoTime, isSameProcess, processFields } from '../../src/events/processFields.ts';
import { context, creation } from './observations.ts';

const { host } = context;

test('an entity ID names the pid namespace, the boot, the process and the second of its start', () => {
  const text = '4026531836__5c1b7c0e-0000-4000-8000-000000000001__4001__1790000001';
  assert.equal(entityId(creation.process, host), Buffer.from(text).toString('base64'));
});

test('there is no entity ID while a part of it is unknown', () => {
  assert.equal(entityId({ pid: 1 }, host), undefined);
  assert.equal(entityId(creation.process, { ...host, bootId: undefined }), undefined);
});

test('IDs of users and groups are strings, also that of root', () => {
  const { user, group } = processFields({ pid: 1, userId: 0, groupId: 0 }, host);
  assert.deepEqual([user, group], [{ id: '0' }, { id: '0' }]);
});

test('a process is the same as itself, and as no other', () => {
  const { process, parent } = creation;
  assert.equal(isSameProcess({ ...process }, process), true);
  assert.equal(isSameProcess(parent ?? process, process), false);
});

test('a reused process ID is another process', () => {
  const { process } = creation;
  const other = { ...process, startUs: (process.startUs ?? 0) + 5e6 };
  assert.equal(isSameProcess(other, process), false);
});

test('a command line of megabytes is cut, and the count of its arguments kept', () => {
  const args = Array.from({ length: 100_000 }, (_, index) => `argument-${index}`);
  const fields = processFields({ pid: 1, args }, host);
  assert.equal(fields.args_count, 100_000);
  assert.ok(JSON.stringify(fields).length < 40_000);
});

test('times have microseconds', () => {
  assert.equal(isoTime(0), '1970-01-01T00:00:00.000000Z');
  assert.equal(isoTime(1_790_000_002_000_007), '2026-09-21T14:13:22.000007Z');
});
