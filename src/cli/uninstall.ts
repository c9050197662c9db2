/** `d4c-gate uninstall`: takes out of a cluster all that d4c-gate put there, and says what that was. */

import { openCluster } from '../kubernetes/client.ts';
import { uninstall } from '../kubernetes/uninstall.ts';
import type { AddCommand } from './program.ts';

export const uninstallCommand: AddCommand = (program, done) => {
  program
    .command('uninstall')
    .description('remove everything of d4c-gate from a cluster; stop its pods before (`helm uninstall`)')
    .option('--kubeconfig <file>', 'the cluster (default: the one that this pod runs in)')
    .option('--keep-policies', 'leave the ContainerPolicies and their definition')
    .addHelpText('after', '\nExit code: 0 all is gone, 2 something is left and was named.')
    .action(async (options: { kubeconfig?: string; keepPolicies?: boolean }) => {
      const { kubeconfig, keepPolicies = false } = options;
      const cluster = await openCluster(kubeconfig === undefined ? {} : { kubeconfig });
      // So that a wrong address is one error and not one for every kind of object.
      await cluster.serves('v1');
      const removals = await uninstall(cluster, {
        keepPolicies,
        onProgress: (what, done) => process.stderr.write(`d4c-gate: ${what}: ${done} so far\n`),
      });
      cluster.close();
      for (const { what, removed } of removals) process.stdout.write(`${what}: ${removed} removed\n`);
      if (keepPolicies) process.stdout.write('policies: kept\n');
      process.stdout.write('labels and annotations that people set on namespaces are left to them\n');
      const errors = removals.flatMap((removal) => removal.errors);
      for (const error of errors) process.stderr.write(`d4c-gate: not removed: ${error}\n`);
      done(errors.length === 0 ? 0 : 2);
    });
};
