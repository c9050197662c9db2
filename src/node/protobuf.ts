/**
 * Messages of Protocol Buffers by the numbers of their fields, as far as containerd's answers need them: text, bytes and
 * messages. The bytes are read by protobufjs, of which the part that reads schemas would take 5 MiB more (ADR 17).
 */

import protobuf from 'protobufjs/minimal.js';

/** The fields of a message by number, each with all of its values in the order in which they came. */
export type Fields = ReadonlyMap<number, readonly Buffer[]>;

/** Text, bytes, messages: a length and so many bytes. */
const delimited = 2;

/**
 * What a message consists of; numbers in it are passed over. The values are parts of `message`, not copies. Throws an `Error`
 * where it is no message.
 */
export function fieldsOf(message: Uint8Array): Fields {
  const reader = protobuf.Reader.create(message);
  const fields = new Map<number, Buffer[]>();
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const number = tag >>> 3;
    if ((tag & 7) !== delimited) {
      reader.skipType(tag & 7);
      continue;
    }
    const { buffer, byteOffset, length } = reader.bytes();
    const value = Buffer.from(buffer, byteOffset, length);
    const values = fields.get(number);
    if (values === undefined) fields.set(number, [value]);
    else values.push(value);
  }
  return fields;
}

/** The last value of a field, as Protocol Buffers have it where one value is expected. */
export function bytesAt(fields: Fields, number: number): Buffer | undefined {
  return fields.get(number)?.at(-1);
}

/** As `bytesAt`, as text; `undefined` also when it is empty, which cannot be told from absent. */
export function textIn(fields: Fields, number: number): string | undefined {
  return bytesAt(fields, number)?.toString('utf8') || undefined;
}

/** A field whose value is a message: its fields, none when it is absent. */
export function messageAt(fields: Fields, number: number): Fields {
  return fieldsOf(bytesAt(fields, number) ?? new Uint8Array());
}

/** A map's keys with the bytes of their values: a map is a list of messages with the key in field 1 and the value in field 2. */
export function mapAt(fields: Fields, number: number): Map<string, Buffer> {
  const entries = (fields.get(number) ?? []).map(fieldsOf);
  return new Map(entries.map((entry) => [textIn(entry, 1) ?? '', bytesAt(entry, 2) ?? Buffer.alloc(0)]));
}

/** A message with text in one field. */
export function textMessage(number: number, text: string): Uint8Array {
  return protobuf.Writer.create()
    .uint32((number << 3) | delimited)
    .string(text)
    .finish();
}
