/** `docs/limits.md` from the table of cases. `node test/bypass/limits.ts` writes it. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bypass, beyond, bypasses, type Gap, gaps, type Rule } from './cases.ts';

export const limitsFile = join(import.meta.dirname, '../../docs/limits.md');

const rules: Record<Rule, string> = {
  drift: '`createExecutable`, `modifyExecutable`',
  exec: '`exec` of one path',
  create: '`createFile`',
  modify: '`modifyFile`',
  delete: '`deleteFile`',
};

const row = ({ way, rule, optIn, outcome, succeeds, answer }: Bypass) =>
  `| ${way}${optIn === undefined ? '' : `, with \`--${optIn}\``} | ${rules[rule]} | ${outcome === 'unseen' ? 'not seen' : `\`${outcome}\``} | ${succeeds ? '**yes**' : 'no'} | ${answer} |`;

const gapRow = ({ way, rule, succeeds, answer }: Gap) =>
  `| ${way} | ${rules[rule]} | ${succeeds ? '**yes**' : 'no'} | ${answer} |`;

export function limitsText(): string {
  return `# Known ways around, and what becomes of them

Each row of the first table is a case that \`test/bypass\` tries on a real container, with a policy that blocks what the second column says. The table is made from those cases
(\`node test/bypass/limits.ts\`), so what it says is what happens. The words of the third column are those of [event documents](events.md).

| way | blocked | outcome | succeeds | answer |
|---|---|---|---|---|
${bypasses.map(row).join('\n')}

The [keeper](node.md#the-keeper) itself may be killed, by root of the node alone. The kernel then lets go of whoever waits, and allows everything until another keeper has marked the containers and an agent has bound them again:
the agent starts one at once (\`start\`, \`off\`), or the kubelet or systemd does. Each row is tried in a test: something is done while no keeper is there, and again once there is one.

| done in the gap | blocked | works afterwards | answer |
|---|---|---|---|
${gaps.map(gapRow).join('\n')}

Not in a test:

| way | answer |
|---|---|
${beyond.map(({ way, answer }) => `| ${way} | ${answer} |`).join('\n')}
`;
}

if (import.meta.main) writeFileSync(limitsFile, limitsText());
