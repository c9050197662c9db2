import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateOf } from '../../src/kubernetes/namespaceModes.ts';

const created = '2026-01-01T00:00:00Z';
const namespace = (labels: Record<string, string>, managedFields: object[] = []) =>
  stateOf({ metadata: { name: 'a', uid: 'u', creationTimestamp: created, labels, managedFields } });

const labelled = (time: string) => ({
  time,
  fieldsV1: { 'f:metadata': { 'f:labels': { 'f:d4c-gate.io/mode': {} } } },
});

test('a namespace has a mode when its label is one', () => {
  assert.equal(namespace({ 'd4c-gate.io/mode': 'observe' }).mode, 'observe');
  assert.equal(namespace({ 'd4c-gate.io/mode': 'enforce' }).mode, 'enforce');
  assert.equal(namespace({ 'd4c-gate.io/mode': 'Enforce' }).mode, undefined);
  assert.equal(namespace({}).mode, undefined);
});

test('it opted in when the label was set, and else when it was created', () => {
  const mode = { 'd4c-gate.io/mode': 'enforce' };
  const other = { time: '2026-01-02T00:00:00Z', fieldsV1: { 'f:metadata': { 'f:labels': { 'f:x': {} } } } };
  assert.equal(
    namespace(mode, [other, labelled('2026-01-03T00:00:00Z')]).labelledAt,
    Date.parse('2026-01-03'),
  );
  assert.equal(namespace(mode, [other]).labelledAt, Date.parse(created));
  assert.equal(namespace(mode, [{}, labelled('nonsense')]).labelledAt, Date.parse(created));
});
