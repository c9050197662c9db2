/** What each rule of the cases is for a gate. */

import { execTable, fileTable, tableOf } from '../support/testGate.ts';
import type { Rule } from './cases.ts';

export const ruleTables: Record<Rule, () => string> = {
  drift: () =>
    tableOf({
      file: {
        selectors: [{ name: 'programs', operation: ['createExecutable', 'modifyExecutable'] }],
        responses: [{ match: ['programs'], actions: ['alert', 'block'] }],
      },
    }),
  exec: () => execTable(['/usr/bin/linked', '/usr/bin/dynamic'], ['alert', 'block']),
  create: () => fileTable(['createFile'], ['/etc/**'], ['alert', 'block']),
  modify: () => fileTable(['modifyFile'], ['/etc/**'], ['alert', 'block']),
  delete: () => fileTable(['deleteFile'], ['/etc/**'], ['alert', 'block']),
};
