/**
 * Certificates that are in the Secret before `serve` is started, as after a restart: it then has none to make. What it does
 * without any is the subject of serve.test.ts and certificates.test.ts.
 */

import { issueLeaf, makeAuthority } from '../../src/certificates/issue.ts';
import { certificateObjects } from '../../src/controller/certificateObjects.ts';
import { writeState } from '../../src/controller/certificateSecret.ts';
import { authorityName, dayMs } from '../../src/controller/certificateStep.ts';
import type { Cluster } from '../../src/kubernetes/client.ts';
import { eventually } from './programs.ts';

/** Makes the namespace too. For webhooks at an address of 127.0.0.1; does nothing where the Secret is there. */
export async function makeCertificatesAhead(client: Cluster, namespace: string): Promise<void> {
  const secret = { name: 'd4c-gate-webhook-tls', namespace };
  await client.apply('namespaces', { metadata: { name: namespace } });
  if ((await client.find('secrets', secret)) !== undefined) return;
  const notBefore = Date.now() - 3_600_000;
  const authorities = await Promise.all(
    [180, 360].map((days) =>
      makeAuthority(`${authorityName} ${days}`, { notBefore, notAfter: Date.now() + days * dayMs }),
    ),
  );
  const [issuer] = authorities;
  if (issuer === undefined) throw new Error('no authority was made');
  const leaf = await issueLeaf(issuer, ['127.0.0.1'], { notBefore, notAfter: Date.now() + 30 * dayMs });
  const objects = certificateObjects(client, secret, []);
  await objects.createSecret();
  const { secret: made } = await objects.read();
  if (made === undefined) throw new Error('the Secret was not made');
  await objects.writeData(made, writeState({ authorities, leaf }));
}

/** Resolves when the API server calls the webhooks and trusts them: what it asks about a policy fails closed. */
export async function untilTrusted(client: Cluster): Promise<void> {
  const selectors = [{ name: 'programs', operation: ['exec'] }];
  const spec = { process: { selectors, responses: [{ match: ['programs'], actions: ['log'] }] } };
  let reason = '';
  await eventually(
    'the API server trusts the webhook',
    () =>
      client
        .create('containerpolicies', { metadata: { name: 'until-trusted' }, spec }, { dryRun: true })
        .then(
          () => true,
          (error: unknown) => {
            reason = String(error);
            return false;
          },
        ),
    20_000,
  ).catch((error: unknown) => {
    throw new Error(`${error}: ${reason}`);
  });
}
