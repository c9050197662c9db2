/**
 * A Pepr module of many bindings: `node module.js POLICIES PORT`. Like the policies of d4c-gate, each asks for a namespace
 * and a label and writes an annotation. Its certificate, API path and cluster come from the environment, as Pepr has it.
 */

import pepr from 'pepr';

const [policies, port] = process.argv.slice(2).map(Number);
const capability = new pepr.Capability({ name: 'bench', description: 'bindings of the benchmark' });
for (let index = 0; index < policies; index++) {
  capability
    .When(pepr.a.Pod)
    .IsCreated()
    .InNamespace(`team-${index}`)
    .WithLabel('app', `app-${index}`)
    .Mutate((pod) => {
      pod.SetAnnotation('d4c-gate.io/policies', `policy-${index}`);
    });
}
const settings = { uuid: 'bench', onError: 'ignore', alwaysIgnore: { namespaces: [] } };
new pepr.PeprModule({ description: '', pepr: settings }, [capability], { deferStart: true }).start(port);
process.stdout.write('started\n');
