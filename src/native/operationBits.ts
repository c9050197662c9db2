/** Operations as bits, in tables and in what is asked of them. `src/native/table.h` says the same. */

import type { FileOperation, ProcessOperation } from '../policy/types.ts';

export const operationBits: Readonly<Record<FileOperation | ProcessOperation, number>> = {
  createExecutable: 1,
  modifyExecutable: 2,
  createFile: 4,
  modifyFile: 8,
  deleteFile: 16,
  fork: 32,
  exec: 64,
};

export const everyFileOperation = 31;
export const everyProcessOperation = 96;
