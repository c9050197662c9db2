import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteWriter } from '../../src/node/byteWriter.ts';

test('numbers, masks and texts are little-endian and follow each other', () => {
  const writer = new ByteWriter();
  writer.number(0x0102, 2);
  writer.number(0xfffefdfc, 4);
  writer.mask([0, 9, 63]);
  writer.text('é');
  writer.list([1, 2], (each) => writer.number(each, 1));
  const expected = [2, 1, 0xfc, 0xfd, 0xfe, 0xff, 1, 2, 0, 0, 0, 0, 0, 0x80, 2, 0, 0xc3, 0xa9];
  assert.deepEqual([...writer.done()], [...expected, 2, 0, 0, 0, 1, 2]);
});

test('a number that does not fit is a mistake', () => {
  assert.throws(() => new ByteWriter().number(256, 1), RangeError);
  assert.throws(() => new ByteWriter().number(-1, 4), RangeError);
});

test('any amount of bytes is kept', () => {
  const writer = new ByteWriter();
  const text = 'x'.repeat(700);
  for (let i = 0; i < 10; i++) writer.text(text);
  assert.equal(Buffer.from(writer.done()).toString('latin1'), `\xbc\x02${text}`.repeat(10));
});
