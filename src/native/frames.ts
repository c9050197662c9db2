/** How an agent and the keeper speak (`frames.h`): each frame is its length in 4 bytes, little-endian, and that many bytes. */

const headBytes = 4;

/** A frame that begins with the letter for its kind. */
export function frameOf(kind: string, ...fields: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), ...fields]);
  return Buffer.concat([number(body.length, headBytes), body]);
}

/** A number of 1 to 8 bytes. */
export function number(value: number, bytes: number): Buffer {
  // Written whole. Of the pool: memory of its own for each of the hundreds of numbers of a publication is megabytes of garbage.
  const buffer = Buffer.allocUnsafe(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer.subarray(0, bytes);
}

/** Bytes of any length, preceded by it. */
export function counted(bytes: Uint8Array): Buffer {
  return Buffer.concat([number(bytes.length, 4), bytes]);
}

/** Takes in what comes, and gives the frames that have become whole: what the keeper says is JSON. */
export function frameReader(): (chunk: Buffer) => unknown[] {
  let rest: Buffer = Buffer.alloc(0);
  let missing = headBytes;
  let chunks: Buffer[] = [];
  return (chunk) => {
    chunks.push(chunk);
    missing -= chunk.length;
    // A long frame comes in many chunks, which are put together once.
    if (missing > 0) return [];
    rest = Buffer.concat(chunks);
    const frames: unknown[] = [];
    let at = 0;
    for (;;) {
      const length = rest.length - at < headBytes ? 0 : rest.readUInt32LE(at);
      missing = headBytes + length - (rest.length - at);
      if (missing > 0) break;
      frames.push(JSON.parse(rest.toString('utf8', at + headBytes, at + headBytes + length)));
      at += headBytes + length;
    }
    chunks = [rest.subarray(at)];
    return frames;
  };
}
