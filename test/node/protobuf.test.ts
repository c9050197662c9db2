import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import protobuf from 'protobufjs/light.js';
import { bytesAt, fieldsOf, mapAt, messageAt, textIn, textMessage } from '../../src/node/protobuf.ts';

const { Example } = protobuf.Root.fromJSON({
  nested: {
    Example: {
      fields: {
        name: { id: 1, type: 'string' },
        labels: { id: 2, type: 'string', keyType: 'string' } as protobuf.IMapField,
        size: { id: 3, type: 'int64' },
        ratio: { id: 4, type: 'double' },
        inner: { id: 5, type: 'Example' },
        many: { id: 600, type: 'string', rule: 'repeated' },
        flags: { id: 7, type: 'fixed32' },
      },
    },
  },
}) as unknown as { Example: protobuf.Type };
const written = (value: object): Uint8Array => Example.encode(Example.fromObject(value)).finish();

test('text, maps, lists and messages are read as another implementation writes them, and numbers passed over', () => {
  const labels = { app: 'web', empty: '', '': 'no key', __proto__x: '1' };
  const fields = fieldsOf(
    written({
      name: 'é',
      labels,
      size: -1,
      ratio: 0.5,
      flags: 7,
      inner: { name: 'in' },
      many: ['a', '', 'c'],
    }),
  );
  assert.equal(textIn(fields, 1), 'é');
  assert.deepEqual(
    [...mapAt(fields, 2)].map(([key, value]) => [key, value.toString()]),
    Object.entries(labels),
  );
  assert.equal(textIn(messageAt(fields, 5), 1), 'in');
  assert.deepEqual(fields.get(600)?.map(String), ['a', '', 'c']);
  assert.deepEqual([fields.has(3), fields.has(4), fields.has(7)], [false, false, false]);
});

test('a label named as a property of every object is a label like others', () => {
  const pair = fieldsOf(textMessage(1, '__proto__'));
  assert.equal(textIn(pair, 1), '__proto__');
  assert.deepEqual(
    [...mapAt(new Map([[2, [Buffer.from(textMessage(1, '__proto__'))]]]), 2).keys()],
    ['__proto__'],
  );
});

test('what is absent is absent, and an absent message has no fields', () => {
  const fields = fieldsOf(written({}));
  assert.deepEqual(
    [bytesAt(fields, 1), textIn(fields, 1), messageAt(fields, 5).size, mapAt(fields, 2).size],
    [undefined, undefined, 0, 0],
  );
});

test('the last of several values counts', () => {
  const twice = Buffer.concat([written({ name: 'first' }), written({ name: 'second' })]);
  assert.equal(textIn(fieldsOf(twice), 1), 'second');
});

test('a text is written so that another implementation reads it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), (words) => {
      assert.equal(Example.toObject(Example.decode(textMessage(1, words))).name ?? '', words);
    }),
  );
});

for (const [what, bytes] of [
  ['ends in the middle of a tag', [0x80]],
  ['ends in the middle of a value', [0x0a, 5, 1, 2]],
  ['claims four gigabytes', [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]],
  ['has a number without an end', [0x08, ...Array(20).fill(0xff)]],
  ['has a form that does not exist', [0x0f, 1]],
  ['has a group without an end', [0x0b, 0x0a, 1, 1]],
] as const) {
  test(`a message that ${what} is an error`, () => {
    assert.throws(() => fieldsOf(Uint8Array.from(bytes)), Error);
  });
}

test('any bytes are fields or an error, and values are parts of the message', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        for (const value of [...fieldsOf(bytes).values()].flat()) {
          assert.ok(value.byteOffset + value.length <= bytes.byteOffset + bytes.length);
        }
      } catch (error) {
        assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), String(error));
      }
    }),
  );
});
