/** Containers of podman, of which runc knows no image: the agent reads podman's own storage. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startAgent } from '../support/agent.ts';
import { dropLine, requirements } from '../support/containers.ts';
import { buildRootFilesystem } from '../support/image.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, must, run } from '../support/programs.ts';

const skip = requirements() ?? (isInstalled('podman') ? undefined : 'needs podman');
const imageName = 'registry.example/d4c-gate/podman-box';

test('a container of podman is gated by policies about its image', { skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'd4c-gate-podman-'));
  t.after(() => rm(folder, { recursive: true }));
  const rootfs = join(folder, 'rootfs');
  await mkdir(rootfs);
  await buildRootFilesystem(rootfs);
  await must('tar', ['-C', rootfs, '-cf', join(folder, 'rootfs.tar'), '.']);
  await must('podman', ['import', join(folder, 'rootfs.tar'), `${imageName}:1`], { limitMs: 60_000 });
  t.after(() => run('podman', ['rmi', '--force', `${imageName}:1`], { limitMs: 60_000 }));

  const policy = `
process:
  selectors:
    - name: dropped
      operation: [exec]
      processExecutable: ["/tmp/**"]
      containerImageFullName: [${imageName}]
  responses:
    - match: [dropped]
      actions: [alert, block]
`;
  const agent = await startAgent(folder, { podman: policy });
  t.after(() => agent.stop());
  const name = `${containerPrefix}${process.pid}-podman`;
  // As few rights as possible are asked of the machine that runs the test.
  const flags = ['--network=none', '--ulimit=nofile=1024:1024', '--ulimit=nproc=1024:1024'];
  await must(
    'podman',
    ['run', '--detach', '--name', name, ...flags, `${imageName}:1`, '/bin/sleep', '1000'],
    {
      limitMs: 60_000,
    },
  );
  t.after(() => run('podman', ['rm', '--force', '--time=0', name], { limitMs: 60_000 }));

  const { exitCode } = await run('podman', ['exec', name, '/bin/sh', '-c', dropLine('/tmp/busybox-dropped')]);
  assert.equal(exitCode, 126);
  const document = await eventually('it is alerted', async () => (await agent.documents())[0]);
  assert.equal(document.container.image?.name, imageName);
  assert.equal(document.d4c_gate.outcome, 'prevented');
});
