/** What each capability is for, as the chart and the unit grant them to keeper and agent: without it something breaks. */

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { deviceText } from '../../src/node/processes.ts';
import type { Container, ContainerHost } from '../support/containers.ts';
import { gateHost, gateRequirements } from '../support/gateHost.ts';
import { containerPrefix } from '../support/leftovers.ts';
import { eventually, isInstalled, must, run } from '../support/programs.ts';
import { type TestGate, tableOf, testGate } from '../support/testGate.ts';

const skip = gateRequirements() ?? (isInstalled('setpriv') ? undefined : 'needs setpriv');
const root = join(import.meta.dirname, '../..');
const keeperNeeds = ['SYS_ADMIN', 'SYS_PTRACE', 'DAC_READ_SEARCH', 'DAC_OVERRIDE', 'FOWNER'] as const;
type Needed = (typeof keeperNeeds)[number];
let host: ContainerHost;
let count = 0;

before(async () => {
  if (skip === undefined) host = await gateHost();
});
after(() => host?.close());

const table = tableOf({
  file: {
    selectors: [
      { name: 'programs', operation: ['createExecutable', 'modifyExecutable'] },
      { name: 'passwd', operation: ['modifyFile'], targetFilePath: ['/etc/passwd'] },
    ],
    responses: [{ match: ['programs', 'passwd'], actions: ['alert', 'block'] }],
  },
});

/** A root process with these capabilities and no way to others. */
const withOnly = (names: readonly string[]): string[] => [
  ...['setpriv', '--inh-caps=-all', '--bounding-set'],
  ['-all', ...names.map((name) => `+${name.toLowerCase()}`)].join(','),
];

/** As a user of the container's own, who is nobody to the keeper. */
const asUser = (container: Container, ...args: string[]) =>
  run('runc', ['exec', '--user', '1000:1000', container.id, '/bin/opener', ...args]);
const create = (container: Container, path: string) =>
  asUser(container, 'open', path, '755', 'CREAT', 'WRONLY');

/** What works, by the capability without which it does not. */
const works: Record<
  Exclude<Needed, 'SYS_ADMIN'>,
  (gate: TestGate, container: Container) => Promise<boolean>
> = {
  async SYS_PTRACE(gate, container) {
    // Whose the task is stands in its root, and how it opens in its registers.
    const open = async (flag: string) =>
      (await container.exec('/bin/opener', 'open', '/etc/passwd', '0', flag)).stdout;
    if ((await open('RDONLY')) !== 'ok\n' || (await open('WRONLY')) !== 'EPERM\n') return false;
    return !gate.failures.some(({ failure }) => failure === 'intent_unread');
  },
  async DAC_READ_SEARCH(gate, container) {
    await container.sh('mknod /tmp/pipe p; ln /etc/group /tmp/group; chmod 600 /tmp/group; rm /tmp/group');
    return !gate.failures.some(({ failure }) => failure === 'changes_unseen' || failure === 'changes_lost');
  },
  async DAC_OVERRIDE(gate, container) {
    assert.equal((await create(container, '/own/program')).stdout, 'EPERM\n');
    return (await gate.event(({ path }) => path === '/own/program')).rolledBack === true;
  },
  async FOWNER(gate, container) {
    assert.equal((await create(container, '/sticky/program')).stdout, 'EPERM\n');
    return (await gate.event(({ path }) => path === '/sticky/program')).rolledBack === true;
  },
};

async function gated(t: TestContext, names: readonly string[]) {
  const id = `${containerPrefix}${process.pid}-capability-${++count}`;
  const gate = await testGate({ tables: { [id]: table } }, withOnly(names));
  t.after(gate.close);
  const container = await host.startRunc({ id });
  t.after(container.remove);
  const inside = join(host.folder, id, 'rootfs');
  for (const [name, mode] of [
    ['own', 0o755],
    ['sticky', 0o1777],
  ] as const) {
    await mkdir(join(inside, name));
    await chmod(join(inside, name), mode);
    await chown(join(inside, name), 1000, 1000);
  }
  return { gate, container };
}

describe('a keeper', { skip }, () => {
  test('has what it needs with the capabilities of the chart', async (t) => {
    const template = await readFile(join(root, 'charts/d4c-gate/templates/keeper-daemonset.yaml'), 'utf8');
    const granted = [...template.matchAll(/^ {16}- ([A-Z_]+)$/gm)].map(([, name]) => name);
    assert.deepEqual(granted, [...keeperNeeds, 'NET_ADMIN']);
    const unit = await readFile(join(root, 'systemd/d4c-gate-keeper.service'), 'utf8');
    const bounding = /^CapabilityBoundingSet=(.*)$/m.exec(unit)?.[1]?.split(' ');
    // SYS_RESOURCE raises limits, which the unit may and a pod may not.
    assert.deepEqual(bounding, [...keeperNeeds.map((name) => `CAP_${name}`), 'CAP_SYS_RESOURCE']);
    const { gate, container } = await gated(t, keeperNeeds);
    for (const [name, doesWork] of Object.entries(works)) {
      assert.ok(await doesWork(gate, container), name);
    }
  });

  test('has no gate without SYS_ADMIN', async () => {
    const others = keeperNeeds.filter((name) => name !== 'SYS_ADMIN');
    await assert.rejects(testGate({}, withOnly(others)), { code: 'GATE_NOT_PERMITTED' });
  });

  for (const name of keeperNeeds) {
    if (name === 'SYS_ADMIN') continue;
    test(`cannot do all of it without ${name}`, async (t) => {
      const { gate, container } = await gated(
        t,
        keeperNeeds.filter((other) => other !== name),
      );
      await eventually(`${name} is missed`, async () => !(await works[name](gate, container)));
    });
  }
});

test('an agent finds the processes of containers that ran before with SYS_PTRACE alone, and not without it', {
  skip,
}, async (t) => {
  const template = await readFile(join(root, 'charts/d4c-gate/templates/agent-daemonset.yaml'), 'utf8');
  assert.deepEqual(
    [...template.matchAll(/^ {16}- ([A-Z_]+)$/gm)].map(([, name]) => name),
    ['SYS_PTRACE'],
  );
  const container = await host.startRunc();
  t.after(container.remove);
  const { dev } = await stat(`/proc/${container.pid}/root`, { bigint: true });
  const module = join(root, 'src/node/processes.ts');
  const script = `import { rootIndex } from '${module}'; console.log(await rootIndex().processesOn('${deviceText(dev)}'))`;
  const found = async (...names: string[]) =>
    (
      await must('setpriv', [
        ...withOnly(names).slice(1),
        process.execPath,
        '--input-type=module',
        '-e',
        script,
      ])
    ).stdout;
  assert.match(await found('SYS_PTRACE'), new RegExp(`\\b${container.pid}\\b`));
  assert.equal((await found()).trim(), '[]');
});
