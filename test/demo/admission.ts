/** First half of the demo: a pod goes through the webhook and comes back annotated. */

import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { freePort } from '../support/ports.ts';
import { root, say, start, title } from './stage.ts';

interface Answer {
  response: { allowed: boolean; patch: string };
}

export async function showAdmission(
  folder: string,
  policies: string,
  undo: (() => Promise<unknown>)[],
): Promise<void> {
  title('1. Admission: a pod is created');
  const port = await freePort();
  const certs = join(folder, 'certs');
  const args = [
    'serve',
    '--policies',
    policies,
    '--listen',
    `127.0.0.1:${port}`,
    '--dev-certs',
    '--certs-dir',
    certs,
  ];
  await start(args, /listening/, undo);

  const bodies = JSON.parse(await readFile(join(root, 'test/fixtures/admission-reviews.json'), 'utf8'));
  const review = bodies.cases.find(
    (each: { hook: string; review: { request: { kind: { kind: string } } } }) =>
      each.hook === 'mutate' && each.review.request.kind.kind === 'Pod',
  ).review;
  const pod = review.request.object;
  say(
    `  The API server of a real cluster asked about the pod \`${pod.metadata.generateName}*\` of a Deployment,`,
  );
  say(`  image \`${pod.spec.containers[0].image}\`. d4c-gate answers with a patch:`);
  const answer = await post(port, await readFile(join(certs, 'ca.crt'), 'utf8'), '/mutate', review);
  const patch = JSON.parse(Buffer.from(answer.response.patch, 'base64').toString('utf8'));
  say(`    allowed: ${answer.response.allowed}`);
  for (const step of patch) say(`    ${step.op} ${step.path}: ${JSON.stringify(step.value)}`);
}

/** One POST over TLS, strictly verified against the CA that `--dev-certs` made. */
function post(port: number, ca: string, path: string, body: unknown): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const options = {
      host: '127.0.0.1',
      port,
      path,
      method: 'POST',
      ca,
      headers,
      timeout: 10_000,
      agent: false as const,
    };
    const asked = request(options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.once('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString('utf8'))));
    });
    asked.once('timeout', () => asked.destroy(new Error('the webhook did not answer within 10 s')));
    asked.once('error', reject);
    asked.end(JSON.stringify(body));
  });
}
