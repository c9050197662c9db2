import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileConditions, processConditions } from '../../src/policy/eventConditions.ts';

test('gives every condition that the selector has, what the event has, and the value that holds', () => {
  const selector = {
    name: 's',
    operation: ['createFile', 'deleteFile'] as const,
    kubernetesNamespace: ['shop'],
    targetFilePath: ['/etc/*', '/tmp/**'],
    ignoreVolumeMounts: true,
  };
  const event = {
    section: 'file',
    operations: ['createExecutable'],
    path: '/tmp/x',
    mount: 'volume',
  } as const;
  assert.deepEqual(fileConditions(selector, event), [
    {
      condition: 'operation',
      values: ['createFile', 'deleteFile'],
      found: 'createExecutable',
      heldBy: 'createFile',
    },
    { condition: 'targetFilePath', values: ['/etc/*', '/tmp/**'], found: '/tmp/x', heldBy: '/tmp/**' },
    { condition: 'ignoreVolumeMounts', values: ['true'], found: 'volume', heldBy: undefined },
  ]);
});

test('a flag that is false holds, and is held by itself', () => {
  const event = { section: 'process', operation: 'exec', executable: '/bin/sh', interactive: false } as const;
  assert.deepEqual(processConditions({ name: 's', sessionLeaderInteractive: false }, event), [
    { condition: 'sessionLeaderInteractive', values: ['false'], found: 'false', heldBy: 'false' },
  ]);
});

test('a terminal that could not be read is found to be nothing, and holds nothing', () => {
  const event = {
    section: 'process',
    operation: 'exec',
    executable: '/bin/sh',
    interactive: undefined,
  } as const;
  for (const sessionLeaderInteractive of [true, false]) {
    const [condition] = processConditions({ name: 's', sessionLeaderInteractive }, event);
    assert.equal(condition?.heldBy, undefined);
    assert.equal(condition?.found, undefined);
  }
});

test('a selector without conditions about events has none to answer', () => {
  const event = { section: 'process', operation: 'fork', executable: '/bin/sh', interactive: true } as const;
  assert.deepEqual(processConditions({ name: 's', kubernetesNamespace: ['shop'] }, event), []);
});

test('the name of a process is shown as far as the kernel keeps it', () => {
  const event = {
    section: 'process',
    operation: 'exec',
    executable: '/x/a-very-long-name-indeed',
    interactive: true,
  } as const;
  const [condition] = processConditions({ name: 's', processName: ['a-very-long-nam'] }, event);
  assert.equal(condition?.found, 'a-very-long-nam');
  assert.equal(condition?.heldBy, 'a-very-long-nam');
});
