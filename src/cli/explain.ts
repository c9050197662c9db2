/** `d4c-gate explain`: which policies apply to a pod, what they say of an event, and why. */

import { Option } from 'commander';
import { GateError } from '../errors.ts';
import { modeLabel } from '../kubernetes/names.ts';
import { compile } from '../policy/compile.ts';
import type { Verdict } from '../policy/types.ts';
import { loadDirectory } from '../sources/directory.ts';
import { errorsOf, formatFault } from '../sources/faults.ts';
import { eventHelp, readEvent } from './event.ts';
import { renderExplanation } from './explainText.ts';
import { readManifest } from './manifest.ts';
import { readPod } from './pod.ts';
import { explainPod, type Mode } from './podExplanation.ts';
import type { AddCommand, ExitCode } from './program.ts';

interface ExplainFlags {
  readonly policies: string;
  readonly pod: string;
  readonly namespaceLabels?: string;
  readonly container?: string;
  readonly event?: string;
  readonly clusterName?: string;
  readonly clusterId?: string;
  readonly onUnknown: Verdict;
  readonly lenient?: boolean;
  readonly output: 'text' | 'json';
}

const help = `
${eventHelp}

Exit code: 0 when the question is answered, also when no policy applies; 1 when the verdict is
deny or a policy has an error; 2 when something cannot be read or understood.

Without --namespace-labels the namespace is taken to be in mode enforce. With them its label
d4c-gate.io/mode counts: in mode observe the verdict is always allow, and without that label the
namespace has not opted in, so that no policy has an effect.

Only a controller knows the names of the pods of a Deployment, StatefulSet or CronJob, so that
conditions on the pod's name may stay unknown; give a Pod to ask about one name.`;

export const explainCommand: AddCommand = (program, done) => {
  program
    .command('explain')
    .description('say which policies apply to a pod, what they say of an event, and why')
    .requiredOption('--policies <path>', 'a policy file, or a directory of them')
    .requiredOption('--pod <file>', 'manifest of a Pod, or of a workload with a pod template')
    .option('--namespace-labels <k=v,...>', "labels of the pod's namespace")
    .option('--container <name>', 'ask about this container only')
    .option('--event <file>', 'ask for the decision on this event (see below)')
    .option('--cluster-name <name>', 'the name that kubernetesClusterName is compared with')
    .option(
      '--cluster-id <uid>',
      'UID of the namespace kube-system, which kubernetesClusterId is compared with',
    )
    .addOption(
      new Option('--on-unknown <verdict>', 'what decides where facts are not known')
        .choices(['allow', 'deny'])
        .default('allow'),
    )
    .option('--lenient', "accept what Elastic's policy editor accepts")
    .addOption(new Option('--output <form>', 'how to print').choices(['text', 'json']).default('text'))
    .addHelpText('after', help)
    .action(async (flags: ExplainFlags) => done(await runExplain(flags)));
};

async function runExplain(flags: ExplainFlags): Promise<ExitCode> {
  const { container, clusterId, clusterName, onUnknown, lenient, output } = flags;
  const pod = readPod(await readManifest(flags.pod), flags.pod);
  const event =
    flags.event === undefined ? undefined : readEvent(await readManifest(flags.event), flags.event);
  const mode = flags.namespaceLabels === undefined ? 'enforce' : modeOf(flags.namespaceLabels);
  const modeAssumed = flags.namespaceLabels === undefined;

  const loaded = await loadDirectory(flags.policies, { mode: lenient ? 'lenient' : 'strict', clusterName });
  const errors = errorsOf(loaded.faults);
  for (const error of errors) process.stderr.write(`${formatFault(error)}\n`);
  if (errors.length > 0) return 1;

  const policies = loaded.policies.map(({ id, policy }) => compile(id, policy));
  const question = { pod, mode, modeAssumed, container, clusterId, clusterName, event, onUnknown };
  const explanation = explainPod(policies, question);
  const json = output === 'json';
  process.stdout.write(json ? `${JSON.stringify(explanation, null, 2)}\n` : renderExplanation(explanation));
  return explanation.verdict === 'deny' ? 1 : 0;
}

/** The value of the label `d4c-gate.io/mode`. @throws USAGE */
function modeOf(namespaceLabels: string): Mode {
  const labels = new Map<string, string>();
  for (const label of namespaceLabels.split(',').filter((text) => text !== '')) {
    const equals = label.indexOf('=');
    if (equals <= 0) throw new GateError('USAGE', `\`${label}\` in \`--namespace-labels\` is not key=value`);
    labels.set(label.slice(0, equals), label.slice(equals + 1));
  }
  const mode = labels.get(modeLabel);
  return mode === 'enforce' || mode === 'observe' ? mode : null;
}
