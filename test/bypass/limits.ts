/** `docs/limits.md` from the table of cases. `node test/bypass/limits.ts` writes it. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bypass, beyond, bypasses, type Rule } from './cases.ts';

export const limitsFile = join(import.meta.dirname, '../../docs/limits.md');

const rules: Record<Rule, string> = {
  drift: '`createExecutable`, `modifyExecutable`',
  exec: '`exec` of one path',
  modify: '`modifyFile`',
  delete: '`deleteFile`',
};

const row = ({ way, rule, outcome, succeeds, answer }: Bypass) =>
  `| ${way} | ${rules[rule]} | ${outcome === 'unseen' ? 'not seen' : `\`${outcome}\``} | ${succeeds ? '**yes**' : 'no'} | ${answer} |`;

export function limitsText(): string {
  return `# Known ways around, and what becomes of them

Each row of the first table is a case that \`test/bypass\` tries on a real container, with a policy that blocks what the second column says. The table is made from those cases
(\`node test/bypass/limits.ts\`), so what it says is what happens. The words of the third column are those of [event documents](events.md).

| way | blocked | outcome | succeeds | answer |
|---|---|---|---|---|
${bypasses.map(row).join('\n')}

Not in a test:

| way | answer |
|---|---|
${beyond.map(({ way, answer }) => `| ${way} | ${answer} |`).join('\n')}
`;
}

if (import.meta.main) writeFileSync(limitsFile, limitsText());
