import { readFileSync } from 'node:fs';

const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
const token = readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8');

/** Offers a policy to the API server, which asks the webhook and keeps nothing. */
async function offer(targetFilePath) {
  const answer = await fetch(`${server}/apis/d4c-gate.io/v1alpha1/containerpolicies?dryRun=All`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      apiVersion: 'd4c-gate.io/v1alpha1',
      kind: 'ContainerPolicy',
      metadata: { name: 'd4c-gate-helm-test' },
      spec: {
        file: {
          selectors: [{ name: 'test', operation: ['createExecutable'], targetFilePath: [targetFilePath] }],
          responses: [{ match: ['test'], actions: ['alert'] }],
        },
      },
    }),
    signal: AbortSignal.timeout(20_000),
  });
  return { status: answer.status, text: await answer.text() };
}

async function attempt() {
  const good = await offer('/usr/bin/**');
  if (good.status !== 201) return `a good policy was answered with ${good.status}: ${good.text}`;
  const bad = await offer('not/absolute');
  if (bad.status === 201) return 'a bad policy was accepted: the API server did not ask the webhook';
  return bad.text.includes('POLICY_VALUE_FORM') ? undefined : `a bad policy was answered with ${bad.text}`;
}

for (let left = 30; ; left -= 1) {
  const problem = await attempt().catch((error) => `${error.message}: ${error.cause?.message ?? ''}`);
  if (problem === undefined) break;
  console.error(problem);
  if (left === 0) process.exit(1);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
}
console.log('a good policy is accepted and a bad one is refused');
