/** Containers of podman, of which runc knows no image: the agent reads podman's own storage. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startAgent } from '../support/agent.ts';
import { dropLine, requirements } from '../support/containers.ts';
import { buildRootFilesystem } from '../support/image.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, must, run } from '../support/programs.ts';

const skip = requirements() ?? (isInstalled('podman') ? undefined : 'needs podman');
const imageName = 'registry.example/d4c-gate/podman-box';

/** As few rights as possible are asked of the machine that runs the test. */
const flags = ['--network=none', '--ulimit=nofile=1024:1024', '--ulimit=nproc=1024:1024'];
const limit = { limitMs: 60_000 };

const policyOf = (image: string, path: string) => `
process:
  selectors:
    - name: dropped
      operation: [exec]
      processExecutable: ["${path}/**"]${image}
  responses:
    - match: [dropped]
      actions: [alert, block]
`;

/**
 * Executes a program below /tmp in a container of podman; gives the exit code and the first document. `isElsewhere`: podman has its
 * storage in a folder of the test.
 */
async function dropIn(t: TestContext, isElsewhere: boolean, policies: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-podman-'));
  const podman = isElsewhere ? ['--root', join(folder, 'root'), '--runroot', join(folder, 'run')] : [];
  const name = `${containerPrefix}${process.pid}-podman`;
  let agent: Awaited<ReturnType<typeof startAgent>> | undefined;
  // One after the other: what is left of a container in a storage that is gone is for nobody to remove.
  t.after(async () => {
    await run('podman', [...podman, 'rm', '--force', '--time=0', name], limit);
    await run('podman', [...podman, 'rmi', '--force', `${imageName}:1`], limit);
    await agent?.stop();
    await run('umount', ['--lazy', join(folder, 'root/overlay')]);
    await rm(folder, { recursive: true });
  });
  const rootfs = join(folder, 'rootfs');
  await mkdir(rootfs);
  await buildRootFilesystem(rootfs);
  await must('tar', ['-C', rootfs, '-cf', join(folder, 'rootfs.tar'), '.']);
  await must('podman', [...podman, 'import', join(folder, 'rootfs.tar'), `${imageName}:1`], limit);
  const started = await startAgent(folder, policies);
  agent = started;
  const command = ['run', '--detach', '--name', name, ...flags, `${imageName}:1`, '/bin/sleep', '1000'];
  await must('podman', [...podman, ...command], limit);
  const drop = dropLine('/tmp/busybox-dropped');
  const { exitCode } = await run('podman', [...podman, 'exec', name, '/bin/sh', '-c', drop]);
  return {
    exitCode,
    document: async () => await eventually('it is alerted', async () => (await started.documents())[0]),
  };
}

test('a container of podman is gated by policies about its image', { skip }, async (t) => {
  const image = `\n      containerImageFullName: [${imageName}]`;
  const { exitCode, document } = await dropIn(t, false, { podman: policyOf(image, '/tmp') });
  assert.equal(exitCode, 126);
  const { container, d4c_gate } = await document();
  assert.equal(container.image?.name, imageName);
  assert.equal(d4c_gate.outcome, 'prevented');
});

test('a container of podman with its storage elsewhere is gated by policies that do not ask for its image', {
  skip,
}, async (t) => {
  const { exitCode, document } = await dropIn(t, true, {
    web: policyOf('\n      containerImageName: [web]', '/opt'),
    any: policyOf('', '/tmp'),
  });
  assert.equal(exitCode, 126);
  const { container, cloud_defend } = await document();
  assert.deepEqual([container.image, cloud_defend.package_policy_id], [undefined, 'any']);
});
