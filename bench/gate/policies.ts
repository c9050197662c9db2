/** The policies under which a gate is measured. */

const selector = (name: string, operation: string, conditions: string): string =>
  `    - name: ${name}\n      operation: [${operation}]\n${conditions}`;

const section = (name: string, selectors: string, matched: string, actions: string): string =>
  `${name}:\n  selectors:\n${selectors}  responses:\n    - match: [${matched}]\n      actions: [${actions}]\n`;

const drift = section(
  'file',
  selector('drift', 'createExecutable, modifyExecutable', ''),
  'drift',
  'alert, block',
);
const everyExec = section('process', selector('every', 'exec', ''), 'every', 'log');

export const policies = {
  'exec-only policy': section(
    'process',
    selector('dropped', 'exec', '      processExecutable: [/tmp/**]\n'),
    'dropped',
    'alert, block',
  ),
  'drift policy': drift,
  'drift policy, exec logged with arguments': drift + everyExec,
  'FIM policy': section(
    'file',
    selector('configuration', 'createFile, modifyFile', '      targetFilePath: [/etc/**]\n'),
    'configuration',
    'alert, block',
  ),
} as const;
export type PolicyName = keyof typeof policies;

/** As many policies as asked for, all of which apply: drift, files of one application each, every exec logged. */
export function severalPolicies(count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const paths = `      targetFilePath: [/etc/**, /opt/application-${index}/**, /usr/bin/*]\n`;
    const files = selector('drift', 'createExecutable, modifyExecutable', '');
    const owned = selector('configuration', 'createFile, modifyFile', paths);
    return section('file', files + owned, 'drift, configuration', 'alert') + everyExec;
  });
}
