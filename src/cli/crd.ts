/** `d4c-gate crd`: the definition of ContainerPolicy, for `kubectl apply -f -` and for the chart. */

import { stringify } from 'yaml';
import { containerPolicyDefinition } from '../kubernetes/crd.ts';
import type { AddCommand } from './program.ts';

/** The manifest as the chart ships it. */
export function crdText(): string {
  return `# Made by \`d4c-gate crd\`; a test compares.\n${stringify(containerPolicyDefinition(), { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

export const crdCommand: AddCommand = (program) => {
  program
    .command('crd')
    .description('print the custom resource definition of ContainerPolicy')
    .action(() => {
      process.stdout.write(crdText());
    });
};
