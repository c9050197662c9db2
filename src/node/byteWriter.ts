/** Little-endian bytes, written one after the other. */

export class ByteWriter {
  #bytes = new Uint8Array(1_024);
  #length = 0;

  /** A whole number of at most 4 bytes. A number that does not fit is a mistake of the caller. */
  number(value: number, size: 1 | 2 | 4): void {
    if (value < 0 || value >= 2 ** (8 * size)) throw new RangeError(`${value} does not fit ${size} bytes`);
    const at = this.#grow(size);
    for (let i = 0; i < size; i++) this.#bytes[at + i] = (value >>> (8 * i)) & 0xff;
  }

  /** Eight bytes with the given bits set, 0 to 63. */
  mask(bits: readonly number[]): void {
    const at = this.#grow(8);
    for (const bit of bits)
      this.#bytes[at + (bit >> 3)] = (this.#bytes[at + (bit >> 3)] ?? 0) | (1 << (bit & 7));
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Length in UTF-8 bytes (2 bytes), then the bytes. */
  text(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.number(bytes.length, 2);
    this.bytes(bytes);
  }

  /** How many there are (4 bytes), then each as `write` has it. */
  list<T>(items: readonly T[], write: (item: T) => void): void {
    this.number(items.length, 4);
    for (const item of items) write(item);
  }

  /** What was written so far. */
  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }
}
