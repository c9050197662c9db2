/** Second half of the demo: a real container under the gate. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { containerHost } from '../support/containers.ts';
import { eventually } from '../support/programs.ts';
import { say, start, title, typed } from './stage.ts';

export async function showNode(
  folder: string,
  policies: string,
  undo: (() => Promise<unknown>)[],
): Promise<void> {
  title('2. Node: the same policy in a running container');
  const host = await containerHost();
  undo.push(() => host.close());
  const documents = join(folder, 'documents');
  const keeper = ['--keeper-socket', join(folder, 'keeper.sock')];
  const args = ['node', '--policies', policies, '--output', `ndjson:${documents}`, ...keeper];
  await start([...args, '--containerd-socket', host.containerdSocket], /gate open/, undo);

  say(
    '  A container starts with containerd. Before its first program ran, it was recognised and its policies bound.',
  );
  const container = await host.startContainerd();
  await show('its own programs run:', '/bin/ls -l /usr/local/bin/hello');
  await show('its own scripts run:', '/usr/local/bin/hello');
  await show('data files can be written:', 'echo 42 > /tmp/data && cat /tmp/data');
  await show('an attacker drops a program:', 'cp /bin/busybox /tmp/miner');
  await show('so there is nothing to run:', '/tmp/miner');

  async function show(what: string, line: string): Promise<void> {
    say(`  ${what}`);
    typed(line);
    const { stdout, stderr, exitCode } = await container.sh(line);
    for (const text of `${stdout}${stderr}`.trim().split('\n')) say(`    ${text}`);
    if (exitCode !== 0) say(`    (exit code ${exitCode})`);
  }

  title('3. What was written for your SIEM');
  const alert = await firstLine(join(documents, 'logs-cloud_defend.alerts-default.ndjson'));
  say(`  ${alert.message}`);
  say(
    '  The document of the Elastic Common Schema, without what it also knows of the host and of other processes:',
  );
  const { event, cloud_defend, d4c_gate, container: where, file, process: who } = alert;
  const { name, executable, args: argv } = who as Record<string, unknown>;
  const shown = {
    event,
    cloud_defend,
    d4c_gate,
    container: where,
    file,
    process: { name, executable, args: argv },
  };
  say(JSON.stringify(shown, null, 2).replace(/^/gm, '  '));
}

/** The first document of a stream, as soon as it is there. */
async function firstLine(file: string): Promise<Record<string, unknown>> {
  let line: string | undefined;
  await eventually(`\`${file}\` has a document`, async () => {
    [line] = (await readFile(file, 'utf8').catch(() => '')).split('\n');
    return line !== undefined && line !== '';
  });
  return JSON.parse(line ?? '{}');
}
