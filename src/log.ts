/** The program's own log: JSON lines on standard error, so that standard output stays free for answers and documents. */

import { pino } from 'pino';
import { environment } from './config.ts';

export const log = pino(
  { name: 'd4c-gate', level: environment.logLevel, base: undefined },
  pino.destination({ dest: 2, sync: true }),
);
