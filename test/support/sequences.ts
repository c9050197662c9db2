/** Which events have come to documents, of outputs that are too large to be read again and again. */

import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Gives the sequence numbers of all events written to the folder so far. Reads only what is new, also of files that were renamed. */
export function sequencesIn(folder: string): () => Promise<ReadonlySet<number>> {
  const seen = new Set<number>();
  const offsets = new Map<number, number>();
  const part = Buffer.alloc(1 << 20);
  return async () => {
    for (const name of await readdir(folder).catch(() => [])) {
      const file = await open(join(folder, name)).catch(() => undefined);
      if (file === undefined) continue;
      try {
        const { ino } = await file.stat();
        let offset = offsets.get(ino) ?? 0;
        for (;;) {
          const { bytesRead } = await file.read(part, 0, part.length, offset);
          // The last line may be half written.
          const whole = part.subarray(0, part.lastIndexOf(10, bytesRead - 1) + 1);
          if (bytesRead === 0 || whole.length === 0) break;
          for (const found of whole.toString('latin1').matchAll(/"sequence":(\d+)/g))
            seen.add(Number(found[1]));
          offset += whole.length;
        }
        offsets.set(ino, offset);
      } finally {
        await file.close();
      }
    }
    return seen;
  };
}
